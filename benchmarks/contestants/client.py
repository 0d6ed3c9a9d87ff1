"""This package's client: requests and results as lists, no Prefect."""

from __future__ import annotations

import anthropic  # noqa: F401 - loaded when it is needed, which is not what is compared
import orjson

from benchmarks.job import Job, in_batches
from meshflow_prefect import AnthropicBatchClient, BatchRequest


async def run(job: Job) -> None:
    async with AnthropicBatchClient() as client:
        for rows in in_batches(job.rows(orjson.loads)):
            requests = [
                BatchRequest(
                    f"task-{place}",
                    job.before_text + row["text"],
                    model=job.model,
                    max_tokens=job.max_tokens,
                )
                for place, row in enumerate(rows)
            ]
            results = await client.run(requests, poll_interval=job.poll_seconds)
            job.write_results(rows, results)
