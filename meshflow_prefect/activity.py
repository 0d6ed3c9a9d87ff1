"""What this process is in the middle of: a suspension lets it finish before the process ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_steps: set[object] = set()
_last_end = 0.0


@contextmanager
def busy() -> Iterator[None]:
    """Say that a step is under way which must not be cut: a create call, a check, a download."""
    global _last_end
    step = object()
    _steps.add(step)
    try:
        yield
    finally:
        _steps.discard(step)
        _last_end = time.monotonic()


def idle_seconds() -> float:
    """Return for how long nothing has been under way in this process; 0 while something is."""
    return 0.0 if _steps else time.monotonic() - _last_end
