"""Flows of users around file jobs, as they are deployed in tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect import flow, task

from meshflow_prefect import FileSummary, batch_file
from tests.deployed.pipelines import note
from tests.support.files import PROMPT
from tests.support.halting import Halt

POLL_INTERVAL = 10.0


@task
async def in_a_task(source: str, destination: str) -> FileSummary:
    return await batch_file(source, destination, PROMPT, poll_interval=POLL_INTERVAL)


@flow
async def two_files(source: str, folder: str) -> list[int]:
    """A file job as a subflow, and one that is called inside a task, at once."""
    note("start")
    called, tasked = (str(Path(folder) / name) for name in ("called.jsonl", "tasked.jsonl"))
    summaries = await asyncio.gather(
        batch_file(source, called, PROMPT, poll_interval=POLL_INTERVAL),
        in_a_task(source, tasked),
    )
    note("done", succeeded=[summary.succeeded for summary in summaries])
    return [summary.succeeded for summary in summaries]


@flow
async def killed_file(source: str, destination: str, requests_per_batch: int) -> int:
    """One batch after the other, in one process where each ends at once."""
    note("start")
    Halt(Path(destination).parent).obey()
    summary = await batch_file(
        source,
        destination,
        PROMPT,
        include_input=True,
        poll_interval=POLL_INTERVAL,
        max_requests_per_batch=requests_per_batch,
        max_requests_in_queue=requests_per_batch,
    )
    return len(summary.batch_ids)
