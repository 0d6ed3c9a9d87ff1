"""For how long an event loop answered nobody."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_SECONDS = 0.005
_KEPT = 5


class Blocks:
    """The longest times by which a short sleep ended late."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._found: list[tuple[float, float]] = []

    @property
    def longest(self) -> list[tuple[float, float]]:
        """Seconds, and when that was in seconds from the beginning; the longest first."""
        return [(round(late, 4), round(at, 2)) for late, at in sorted(self._found, reverse=True)]

    async def watch(self) -> None:
        """Sleep again and again."""
        while True:
            slept = time.perf_counter()
            await asyncio.sleep(_SECONDS)
            late = time.perf_counter() - slept - _SECONDS
            heapq.heappush(self._found, (late, slept - self._began))
            if len(self._found) > _KEPT:
                heapq.heappop(self._found)


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Blocks]:
    """Watch the running loop while the block runs."""
    blocks = Blocks()
    watching = asyncio.create_task(blocks.watch())
    await asyncio.sleep(0)
    try:
        yield blocks
        await asyncio.sleep(_SECONDS)  # a block at the very end is seen too
    finally:
        watching.cancel()
