"""A lock for coroutines of one process, whichever thread and event loop they run in."""

from __future__ import annotations

import asyncio
import threading


class AnyLoopLock:
    """`async with` it. Prefect runs submitted tasks in threads, each with a loop of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        # Never blocks the loop: the holder may be another coroutine of it.
        while not self._lock.acquire(blocking=False):  # noqa: ASYNC110  (no event spans loops)
            await asyncio.sleep(0.02)

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
