"""The process of one contestant: `python -m benchmarks.contest NAME JOB`."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.blocking import watched_loop
from benchmarks.job import Job


def main(name: str, job: Job) -> None:
    """Run a contestant; write when its imports were done, and how long its loop was blocked."""
    contestant = import_module(f"benchmarks.contestants.{name}")
    figures: dict[str, Any] = {"imported_at": time.monotonic(), "import_cpu": time.process_time()}
    if inspect.iscoroutinefunction(contestant.run):
        figures["blocks"] = asyncio.run(_watched(contestant.run, job))
    else:
        contestant.run(job)
    Path(job.figures).write_text(json.dumps(figures))


async def _watched(run: Callable[[Job], Awaitable[None]], job: Job) -> list[tuple[float, float]]:
    async with watched_loop() as blocks:
        await run(job)
    return blocks.longest


if __name__ == "__main__":
    main(sys.argv[1], Job.from_json(sys.argv[2]))
