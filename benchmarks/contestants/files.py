"""This package's flow for files: `batch_file`."""

from __future__ import annotations

import anthropic  # noqa: F401 - loaded when it is needed, which is not what is compared

from benchmarks.job import Job
from meshflow_prefect import batch_file


async def run(job: Job) -> None:
    await batch_file(
        job.source,
        job.destination,
        prompt=job.template,
        model=job.model,
        max_tokens=job.max_tokens,
        poll_interval=job.poll_seconds,
    )
