"""Whose the file is that stands where a job's output belongs: its own of before, or another's.

A run notes in its ledger what it is about to write. What is there then, and was not when the job
began, is replaced where such a note tells that it is of this run, or of the same keyed job.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshflow_prefect.filesystems import whole_path
from meshflow_prefect.job_keys import holder_of, unfinished
from meshflow_prefect.ledger import Ledger
from meshflow_prefect.lineage import read_lineage
from meshflow_prefect.sinks import is_there

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient


async def goes_on_writing(prefect: PrefectClient, destination: str, job_key: str) -> bool:
    """Whether a run that did not end was about to write this output of a keyed job.

    It was killed just after the file was in its place, say.
    """
    return bool(
        job_key
        and await asyncio.to_thread(is_there, destination)
        and await unfinished(prefect, job_key)
        and await _is_noted(prefect, destination, job_key)
    )


async def may_replace(prefect: PrefectClient, destination: str, job_key: str) -> bool:
    """Note that this run is about to write there; whether what is there may be replaced."""
    is_in_place = await asyncio.to_thread(is_there, destination)
    own = is_in_place and await _is_noted(prefect, destination, job_key)
    if (lineage := await read_lineage(prefect)) is not None:
        await Ledger(prefect, lineage.root.id).note_output(whole_path(destination))
    return own


async def _is_noted(prefect: PrefectClient, destination: str, job_key: str) -> bool:
    lineage = await read_lineage(prefect)
    roots = {lineage.root.id} if lineage is not None else set()
    if job_key and (holder := await holder_of(prefect, job_key)) is not None:
        roots.add(holder)
    for root_id in roots:
        if await Ledger(prefect, root_id).has_noted_output(whole_path(destination)):
            return True
    return False
