"""Files that appear under their name when they are whole, or never, whatever ends the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import has_magic
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from uuid import uuid4

from meshflow_prefect.errors import DestinationError
from meshflow_prefect.filesystems import is_local
from meshflow_prefect.write_behind import open_write_behind


class _Closable(Protocol):
    def close(self) -> object: ...


_T = TypeVar("_T", bound=_Closable)

_NAME_BYTES = 200
"""So much of a name is kept in that of its part: filesystems take names of 255 bytes."""


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a new file, which replaces `target` when the block ends well, and is on disk then.

    When the block raises, nothing is left. A process that is killed leaves a hidden
    `.name.….part` beside the target, which nobody reads.
    """
    part = target.with_name(part_name(target.name))
    try:
        with closing(open_write_behind(part)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    _sync_directory(target.parent)


@contextmanager
def whole_remote_file(filesystem: Any, path: str) -> Iterator[BinaryIO]:
    """Do as `whole_file` does, in a filesystem of fsspec.

    The file is written beside its place and moved, which object stores do as a copy of their own:
    all have that, while what fsspec calls `autocommit=False` does nothing in some.
    """
    folder, _, name = path.rpartition("/")
    part = f"{folder}/{part_name(name)}"
    try:
        with closing(filesystem.open(part, "wb")) as file:
            yield file
        filesystem.mv(part, path)
    finally:
        if filesystem.exists(part):
            filesystem.rm_file(part)


def try_to_write(filesystem: Any, path: str, name: str) -> None:
    """Write a small file beside a place and remove it again: only that shows whether it may be.

    A local folder that is missing is made. Raises `DestinationError` with `name` for a place that
    is no file, and `OSError` where it cannot be written.
    """
    folder, _, own_name = path.rpartition("/")
    if is_local(filesystem):
        filesystem.makedirs(folder or "/", exist_ok=True)
    elif has_magic(path):
        # fsspec moves all files that match, not the one of this name.
        raise DestinationError(f"{name!r}: name one file, not a glob.", url=name)
    # Elsewhere folders are not made: for some drivers that makes a bucket out of a typo.
    part = f"{folder}/{part_name(own_name)}"
    try:
        filesystem.pipe_file(part, b"")
        filesystem.rm_file(part)
    except NotImplementedError as error:
        raise DestinationError(
            f"{name!r}: nothing can be written to such a URL.", url=name
        ) from error


@contextmanager
def closing(file: _T) -> Iterator[_T]:
    """Close a file at the end of the block.

    When the block raises, its error stays the one that is told: after a full disk closing, which
    writes what was held back, fails once more.
    """
    try:
        yield file
    except BaseException:
        with suppress(OSError):
            file.close()
        raise
    file.close()


def part_name(name: str) -> str:
    """Return a name for what is to become `name`: hidden, recognisable, and never the same."""
    kept = name.encode()[:_NAME_BYTES].decode(errors="ignore")
    return f".{kept}.{uuid4().hex[:12]}.part"


def _sync_directory(directory: Path) -> None:
    # A move is on disk when the directory is. Windows cannot open one, and needs no such thing.
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
