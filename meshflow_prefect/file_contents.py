"""What tells files from others: their versions, for which nothing is read, and their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from meshflow_prefect.chunking import content_digest
from meshflow_prefect.filesystems import is_local


class ListedFile(Protocol):
    """A file as its folder's listing tells of it."""

    @property
    def path(self) -> str:
        """In its filesystem."""

    @property
    def relative(self) -> str:
        """The path from the folder that was asked for."""

    @property
    def size(self) -> int | None:
        """Bytes."""

    @property
    def version(self) -> str:
        """Another one when the file has changed: a time, an ETag."""


def versions_of(files: Iterable[ListedFile]) -> str:
    """Return a hex digest of the files' names, sizes and versions.

    Another when a file came, went, was renamed or changed. The same wherever their folder is
    mounted, as long as the times of modification are.
    """
    content = hashlib.sha256()
    for file in files:
        content.update(_bytes(f"{file.relative}\0{file.size}\0{file.version}\n"))
    return content.hexdigest()


def contents_of(files: Iterable[ListedFile], filesystem: Any, url: str) -> str:
    """Return a hex digest of the files' names and of what is in them.

    Local files are read for it, so that it is the same wherever they are and whenever they were
    written. Of others it is the URL, and what `versions_of` knows.
    """
    if not is_local(filesystem):
        return hashlib.sha256(f"{url}\0{versions_of(files)}".encode()).hexdigest()
    content = hashlib.sha256()
    for file in files:
        content.update(_bytes(f"{file.relative}\0"))
        # What must not be read has its say when it is.
        with suppress(OSError), Path(file.path).open("rb") as stored:
            content.update(hashlib.file_digest(stored, content_digest).digest())
    return content.hexdigest()


def _bytes(name: str) -> bytes:
    # Of a name that is not UTF-8 Python keeps what it cannot decode as half surrogates.
    return name.encode(errors="surrogateescape")
