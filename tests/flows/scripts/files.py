"""Runs a file job for each line that it is told, and answers with the number of its batches."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from prefect import flow

from meshflow_prefect import FileSummary, batch_file

PER_BATCH = 2


@flow
async def pipeline(source: Path) -> FileSummary:
    """A subflow costs more calls than a flow: the run above it is asked for, too."""
    return await batch_file(
        str(source),
        str(source.with_suffix(".out.jsonl")),
        "Name {text}",
        poll_interval=0.05,
        max_requests_per_batch=PER_BATCH,
        max_requests_in_queue=PER_BATCH,
    )


async def main(folder: Path) -> None:
    for batches in map(int, sys.stdin):
        source = folder / f"{batches}.jsonl"
        source.write_text("".join(f'{{"text": "{n}"}}\n' for n in range(PER_BATCH * batches)))
        summary = await pipeline(source)
        print(len(summary.batch_ids), flush=True)


asyncio.run(main(Path(sys.argv[1])))
