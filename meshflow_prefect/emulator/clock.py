"""Emulated time: real, fast, or moved by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

_LAST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Anchor:
    """One moment at which real and emulated time were both known."""

    real: float
    emulated: float
    speed: float

    def emulated_at(self, real: float) -> float:
        """Return the emulated time at a real time."""
        return self.emulated + (real - self.real) * self.speed


class Clock:
    """The emulator's only source of time, in seconds since the epoch.

    A stepped clock is one of speed 0. An anchor kept on disk lets time go on over a restart, so
    that batches made before it are never in the future.
    """

    def __init__(self, *, speed: float, anchor: Anchor | None = None) -> None:
        """Start now, or where `anchor` says that time has come to."""
        real = time.time()
        emulated = real if anchor is None else anchor.emulated_at(real)
        self.anchor = Anchor(real, emulated, speed)

    def now(self) -> float:
        """Return the emulated time."""
        return self.anchor.emulated_at(time.time())

    def advance(self, seconds: float) -> float:
        """Move forward, and say what time it is then. Raises `ValueError` for another direction."""
        real = time.time()
        if not 0 <= seconds <= _LAST - self.anchor.emulated_at(real):
            raise ValueError(
                f"time moves forward only, and up to the year 9000: cannot advance by {seconds!r} "
                "seconds"
            )
        self.anchor = Anchor(real, self.anchor.emulated_at(real) + seconds, self.anchor.speed)
        return self.anchor.emulated


def rfc3339(moment: float) -> str:
    """Return a moment as the API writes it."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
