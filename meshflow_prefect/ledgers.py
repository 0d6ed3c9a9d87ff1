"""Which batches belong to which runs: the ledger of this run, and those of the whole workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from meshflow_prefect.ledger import Entry, Ledger
from meshflow_prefect.lineage import TAG, Lineage, read_lineage

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowRunFilterEndTime
    from prefect.client.schemas.objects import FlowRun

_PAGE = 200


async def entries_since(prefect: PrefectClient, since: datetime) -> list[Entry]:
    """Return what the runs of this workspace have submitted that were active after `since`.

    Asks every root run of them: one call for each, which is for the rare time when an answer was
    lost.
    """
    from prefect.client.schemas.filters import FlowRunFilterEndTime

    recent = FlowRunFilterEndTime.model_validate({"after_": since})
    found: list[Entry] = []
    for ended in (FlowRunFilterEndTime(is_null_=True), recent):
        async for run in _root_runs(prefect, ended):
            found += await Ledger(prefect, run.id).entries()
    return found


async def entry_of_batch(prefect: PrefectClient, batch_id: str) -> Entry | None:
    """Return the entry of a batch in the ledger of the current run's root, if it is there."""
    lineage = await read_lineage(prefect)
    entries = await Ledger(prefect, lineage.root.id).entries() if lineage is not None else []
    return next((entry for entry in entries if entry.batch_id == batch_id), None)


async def batches_of_flow(prefect: PrefectClient) -> list[str]:
    """Return the batches that the current flow run and those below it have submitted."""
    lineage = await read_lineage(prefect)
    if lineage is None:
        return []
    return made_by(await Ledger(prefect, lineage.root.id).entries(), lineage)


def made_by(entries: Iterable[Entry], lineage: Lineage) -> list[str]:
    """Return the batches that the current run of a lineage and those below it have submitted."""
    current = str(lineage.current.id)
    return [entry.batch_id for entry in entries if entry.batch_id and current in entry.run_ids]


async def entries_of_job(prefect: PrefectClient, job_key: str) -> dict[str, Entry]:
    """Return what was submitted under the current run's root for a job, by its parts."""
    lineage = await read_lineage(prefect)
    entries = await Ledger(prefect, lineage.root.id).entries() if lineage is not None else []
    return {entry.work.part: entry for entry in entries if entry.work.job_key == job_key}


async def entry_of_part(prefect: PrefectClient, job_key: str, part: str) -> Entry | None:
    """Return what was submitted under the current run's root as this part, whatever its content.

    For parts whose name occurs once under a root.
    """
    return (await entries_of_job(prefect, job_key)).get(part)


async def _root_runs(prefect: PrefectClient, ended: FlowRunFilterEndTime) -> AsyncIterator[FlowRun]:
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterParentTaskRunId,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG]),
        parent_task_run_id=FlowRunFilterParentTaskRunId(is_null_=True),
        end_time=ended,
    )
    offset = 0
    while page := await prefect.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=_PAGE, offset=offset
    ):
        for run in page:
            yield run
        offset += len(page)
