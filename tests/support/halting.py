"""A process that stands still at an exact moment of its own, for a test to kill it there.

A file is half written for milliseconds: too short to be seen in time from outside, on a busy
machine.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, TypeAlias

Moment: TypeAlias = Literal["open", "os.rename"]
"""Just before this is done, by the name that Python's audit has for it."""


class Halt:
    """An order to stand still, which the first process that comes to the moment obeys, once."""

    def __init__(self, folder: Path) -> None:
        """Name the folder where the order lies, for the test and for the process."""
        self._order = folder / ".halt.json"

    def order(self, moment: Moment, pattern: str) -> None:
        """Have a process stand still before it opens, or moves, a file whose path is like this."""
        draft = self._order.with_suffix(".draft")
        draft.write_text(json.dumps([moment, pattern]))
        draft.replace(self._order)

    @property
    def is_obeyed(self) -> bool:
        """Whether a process has come to the moment, and stands still."""
        return not self._order.exists()

    def obey(self) -> None:
        """Have this process obey what is ordered from now on."""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename") or not isinstance(args[0], str | os.PathLike):
            return
        path = os.fspath(args[0])
        if path == str(self._order):
            return
        with suppress(FileNotFoundError):
            moment, pattern = json.loads(self._order.read_text())
            if event == moment and fnmatch(path, pattern):
                self._order.unlink()
                # To this thread, which so does not take another step.
                signal.raise_signal(signal.SIGSTOP)
