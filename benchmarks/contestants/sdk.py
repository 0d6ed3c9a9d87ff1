"""The loop that people write with the SDK: create, poll, read the typed results, write them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from anthropic import AsyncAnthropic
from anthropic.types.messages import MessageBatchIndividualResponse

from benchmarks.job import Job, in_batches


async def run(job: Job) -> None:
    async with AsyncAnthropic() as client:
        for rows in in_batches(job.rows()):
            batch = await client.messages.batches.create(
                requests=[
                    {
                        "custom_id": f"task-{place}",
                        "params": {
                            "model": job.model,
                            "max_tokens": job.max_tokens,
                            "messages": [
                                {"role": "user", "content": job.before_text + row["text"]}
                            ],
                        },
                    }
                    for place, row in enumerate(rows)
                ]
            )
            while batch.processing_status != "ended":
                await asyncio.sleep(job.poll_seconds)
                batch = await client.messages.batches.retrieve(batch.id)
            stream = await client.messages.batches.results(batch.id)
            found = {answer.custom_id: answer async for answer in stream}
            answers = [found[f"task-{place}"] for place in range(len(rows))]
            job.write(_lines(rows, answers))


def _lines(
    rows: list[dict[str, Any]], answers: list[MessageBatchIndividualResponse]
) -> Iterator[bytes]:
    for row, answer in zip(rows, answers, strict=True):
        if answer.result.type != "succeeded":
            raise RuntimeError(answer.to_json())
        message = answer.result.message
        line = {
            "id": row["id"],
            "output": "".join(block.text for block in message.content if block.type == "text"),
            "input_tokens": message.usage.input_tokens,
            "output_tokens": message.usage.output_tokens,
        }
        yield json.dumps(line).encode() + b"\n"
