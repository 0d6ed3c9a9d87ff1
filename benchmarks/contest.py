"""The process of one contestant: `python -m benchmarks.contest NAME JOB`."""

from __future__ import annotations

import asyncio
import atexit
import gc
import inspect
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.blocking import watched_loop
from benchmarks.importing import counted_imports
from benchmarks.job import Job


def main(name: str, job: Job) -> None:
    """Run a contestant; write what its imports cost, and how long its loop was blocked."""
    figures: dict[str, Any] = {}
    # Registered before the contestant is loaded, and so called after all that it has registered.
    atexit.register(_write, figures, Path(job.figures))
    contestant = import_module(f"benchmarks.contestants.{name}")
    imported_at, import_cpu = time.monotonic(), time.process_time()
    with counted_imports() as later:
        if not inspect.iscoroutinefunction(contestant.run):
            contestant.run(job)
        elif job.is_watched:
            figures["blocks"] = asyncio.run(_watched(contestant.run, job))
        else:
            asyncio.run(contestant.run(job))
    figures |= {"imported_at": imported_at, "import_cpu": import_cpu + later.cpu}
    figures["later_import_wall"] = later.wall


def _write(figures: dict[str, Any], path: Path) -> None:
    gc.collect()  # to free what the job has left behind is a part of it
    ended_at, ended_cpu = time.monotonic(), time.process_time()
    gc.collect()  # and that it looks through all of the libraries for it is not
    wall, cpu = time.monotonic() - ended_at, time.process_time() - ended_cpu
    # All that Python still does from here on is to put the libraries away.
    figures |= {"ended_at": ended_at - wall, "ended_cpu": ended_cpu - cpu}
    figures |= {"measuring_wall": wall, "measuring_cpu": cpu}
    path.write_text(json.dumps(figures))


async def _watched(run: Callable[[Job], Awaitable[None]], job: Job) -> list[tuple[float, float]]:
    async with watched_loop() as blocks:
        await run(job)
    return blocks.longest


if __name__ == "__main__":
    main(sys.argv[1], Job.from_json(sys.argv[2]))
