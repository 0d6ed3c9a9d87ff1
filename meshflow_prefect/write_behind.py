"""Large files on their way to the disk while they are written, not when memory is full of them.

Left to itself the system keeps what is written until it runs out of memory for it, and then lets
the writer pay: with some gigabytes a write came to cost several times as much CPU.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

_STEP = 16 << 20


def open_write_behind(
    path: Path, *, is_read_soon: bool = False, buffering: int = io.DEFAULT_BUFFER_SIZE
) -> BinaryIO:
    """Create a file to write; it must not be there.

    Args:
        path: The file.
        is_read_soon: Whether its content is better kept in memory too, when it is on disk.
        buffering: Bytes.
    """
    return io.BufferedWriter(_WriteBehind(path, is_read_soon=is_read_soon), buffering)


def forget(file: BinaryIO) -> None:
    """Tell the system that what it holds of a file in memory will not be read again soon.

    It drops what is on disk already, and begins to write the rest.
    """
    _advise(file.fileno(), 0, 0)


class _WriteBehind(io.FileIO):
    def __init__(self, path: Path, *, is_read_soon: bool) -> None:
        super().__init__(path, "xb")
        self._is_read_soon = is_read_soon
        self._end = self._told = 0

    def write(self, data: io.ReadableBuffer, /) -> int:  # type: ignore[name-defined]
        """Write some bytes; see `io.FileIO.write`."""
        written = super().write(data)
        self._end += written
        if self._end - self._told >= _STEP:
            # What is told to be of no use is written first. Told once, it stays in memory then.
            start = self._told if self._is_read_soon else 0
            _advise(self.fileno(), start, self._end - start)
            self._told = self._end
        return written


def _advise(descriptor: int, start: int, length: int) -> None:
    # Not every system has such advice, and none needs it.
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
