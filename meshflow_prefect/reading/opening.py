"""A file of a source → its bytes, decompressed, and its errors in our words."""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import Any

from fsspec.compression import compr  # type: ignore[import-untyped]

from meshflow_prefect.errors import SourceError
from meshflow_prefect.filesystems import explained
from meshflow_prefect.reading.rows import SourceFile

_BLOCK_BYTES = 1 << 20
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class OwnPosition(io.RawIOBase):
    """A file of fsspec, read from a position of its own.

    All who open a `memory://` file get one object with one position, and would move each other.
    """

    def __init__(self, file: Any) -> None:
        self._file, self._position = file, 0

    def readable(self) -> bool:
        """Whether `read` works: always."""
        return True

    def seekable(self) -> bool:
        """Whether `seek` works: always."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it."""
        if whence == io.SEEK_END:
            self._position = self._file.seek(offset, whence)
        else:
            self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on and return how much there was."""
        self._file.seek(self._position)
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


@contextmanager
def opened(filesystem: Any, file: SourceFile) -> Iterator[OwnPosition]:
    """Open a file as it is stored.

    Raises `SourceError` when it cannot be opened, or when reading it fails in the block.
    """
    with explained(SourceError, file.name, "cannot be read"), ExitStack() as stack:
        yield OwnPosition(stack.enter_context(filesystem.open(file.path, "rb")))


@contextmanager
def opened_text(filesystem: Any, file: SourceFile) -> Iterator[io.BufferedReader]:
    """Open a file of UTF-8 text, decompressed and after its byte order mark.

    Raises `SourceError` as `opened` does, for data that is damaged, and for UTF-16.
    """
    with opened(filesystem, file) as stored:
        try:
            stream = io.BufferedReader(_decompressed(stored, file.compression), _BLOCK_BYTES)
            head = stream.peek(3)
            if head.startswith(_UTF16_BOMS):
                raise SourceError(f"{file.name!r} is UTF-16; save it as UTF-8.", url=file.name)
            if head.startswith(_UTF8_BOM):
                stream.read(len(_UTF8_BOM))
            yield stream
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise SourceError(
                f"{file.name!r}: its {file.compression} data is damaged: {error}.", url=file.name
            ) from error


def _decompressed(stored: OwnPosition, compression: str | None) -> Any:
    if compression == "zstd":
        # Log shippers write one frame after the other, of which fsspec would read the first.
        with suppress(ImportError):
            zstandard: Any = import_module("zstandard")
            return zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True)
    # Known already while the compression was inferred.
    return compr[compression](stored, mode="r")
