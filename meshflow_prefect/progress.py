"""What a person sees while a wait sleeps in its process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from meshflow_prefect.polling import AWAY

Watch: TypeAlias = Callable[[str, datetime], None]
"""Told, before each rest, what is waited for and until when."""


@contextmanager
def watching() -> Iterator[Watch]:
    """Show elapsed time, status and the time of the next check while the block runs.

    On a terminal one line that moves; elsewhere a log line whenever the status changes. No count
    of requests done: the API reports it only when the whole batch has ended.
    """
    console = Console(stderr=True)
    display = _Display()
    if not console.is_terminal:
        yield display.log
        return
    with Live(display, console=console, refresh_per_second=4, transient=True):
        yield display.update


class _Display:
    def __init__(self) -> None:
        self._started = time.monotonic()
        self._status = ""
        self._next: datetime | None = None
        self._spinner = Spinner("dots")

    def update(self, why: str, next_check: datetime) -> None:
        self._status, self._next = why, next_check

    def log(self, why: str, next_check: datetime) -> None:
        from prefect.logging import get_logger

        known, self._status = self._status, why
        if self._status != known:
            # Of what goes on as it should, a quiet program need not speak.
            level = logging.WARNING if why.startswith(AWAY) else logging.INFO
            told = f"{next_check:%H:%M:%S %Z}"
            get_logger("meshflow").log(level, "%s; next check at %s.", why, told)

    def __rich__(self) -> Spinner:
        elapsed = timedelta(seconds=int(time.monotonic() - self._started))
        parts = [f"{elapsed} elapsed", self._status or "asking for the batch"]
        if self._next is not None:
            left = max(0, round((self._next - datetime.now(UTC)).total_seconds()))
            parts.append(f"next check in {left} s")
        self._spinner.update(text=Text(" · ".join(parts)))
        return self._spinner
