"""Flows of users around file jobs, as they are deployed in tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect import flow, task

from meshflow_prefect import FileSummary, batch_file
from tests.deployed.pipelines import note
from tests.support.files import PROMPT

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
