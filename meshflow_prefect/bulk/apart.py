"""A destination that its own source reads: what is written would be lost, or read the next time."""

from __future__ import annotations

import re
from itertools import takewhile
from os.path import realpath

from fsspec.utils import glob_translate  # type: ignore[import-untyped]

from meshflow_prefect.errors import DestinationError, SourceError
from meshflow_prefect.filesystems import is_local, open_filesystem, shown

_WILDCARD = re.compile(r"[*?\[]")


def check_apart(source: str, destination: str) -> None:
    """Raise `DestinationError` for a destination that is the source, in its folder, or of its glob.

    That a link leads to the source is seen where the filesystem is local.
    """
    of_source, read = open_filesystem(source, None, SourceError)
    of_destination, written = open_filesystem(destination, None, DestinationError)
    if type(of_source) is not type(of_destination):
        return
    if is_local(of_source):
        # Not of the glob's own name, which is no file.
        written = realpath(written)
        read = realpath(read) if of_source.exists(read) else _resolved(read)
    if written == read or _would_read(of_source, read, written):
        raise DestinationError(
            f"{shown(destination)!r} is what this job reads, or would read the next time: its "
            f"source is {shown(source)!r}. Name a file outside of it.",
            url=shown(destination),
        )


def _resolved(pattern: str) -> str:
    """Return a glob with the links resolved of the folders that come before its first wildcard."""
    parts = pattern.split("/")
    plain = sum(1 for _ in takewhile(lambda part: not _WILDCARD.search(part), parts))
    return "/".join([realpath("/".join(parts[:plain]) or "/").rstrip("/"), *parts[plain:]])


def _would_read(filesystem: object, read: str, written: str) -> bool:
    if filesystem.isdir(read):  # type: ignore[attr-defined]
        return written.startswith(f"{read.rstrip('/')}/")
    return re.fullmatch(glob_translate(read), written) is not None
