"""What a process spends on loading its libraries, whenever it loads them."""

from __future__ import annotations

import builtins
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Imports:
    """The costs so far."""

    cpu: float = 0.0
    """Seconds of CPU, in all threads."""

    wall: float = 0.0
    """Seconds, in the main thread alone: others import beside it."""


@contextmanager
def counted_imports() -> Iterator[Imports]:
    """Count what imports cost while the block runs.

    Some libraries load parts of others where they first need them, which is neither submitting nor
    collecting.
    """
    costs, own, plain = Imports(), threading.local(), builtins.__import__
    main, loaded = threading.main_thread(), sys.modules

    def counting(name: str, *args: Any, **kwargs: Any) -> Any:
        # Libraries also import, for each row or each read, what is there: that is their work.
        if name in loaded or getattr(own, "is_importing", False):
            return plain(name, *args, **kwargs)
        own.is_importing = True
        cpu, wall = time.thread_time(), time.monotonic()
        try:
            return plain(name, *args, **kwargs)
        finally:
            own.is_importing = False
            costs.cpu += time.thread_time() - cpu
            if threading.current_thread() is main:
                costs.wall += time.monotonic() - wall

    builtins.__import__ = counting
    try:
        yield costs
    finally:
        builtins.__import__ = plain
