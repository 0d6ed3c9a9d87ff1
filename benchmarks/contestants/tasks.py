"""This package's flow for lists: `batch_agent_tasks`."""

from __future__ import annotations

import anthropic  # noqa: F401 - loaded when it is needed, which is not what is compared
import orjson

from benchmarks.job import Job
from meshflow_prefect import batch_agent_tasks


async def run(job: Job) -> None:
    rows = list(job.rows(orjson.loads))
    results = await batch_agent_tasks(
        [job.before_text + row["text"] for row in rows],
        agent_model=job.model,
        system_prompt="",
        max_tokens=job.max_tokens,
        poll_interval=job.poll_seconds,
    )
    job.write_results(rows, results)
