"""Files out: a stream of JSON objects → JSON lines or Parquet, whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from meshflow_prefect.errors import DestinationError
from meshflow_prefect.filesystems import explained, is_local, open_filesystem, shown
from meshflow_prefect.parquet_sink import ColumnType, needs_pyarrow, parquet_sink
from meshflow_prefect.whole_files import closing, try_to_write, whole_file, whole_remote_file

_JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_PARQUET = (".parquet", ".pq")

_BLOCK_BYTES = 1 << 20
_GZIP_LEVEL = 6


class Sink(Protocol):
    """Where the rows of the output go, one after the other."""

    def write(self, line: bytes) -> None:
        """Add one row: a JSON object, without a line end.

        Raises `DestinationError` when it cannot be written: a full disk, a value that does not
        fit its column.
        """


def check_destination(
    url: str | os.PathLike[str],
    *,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Find out, before any work is done, whether the output can be written there.

    A local folder that is missing is made. A small file is written beside the destination and
    removed again, since only that shows whether it may be.

    Raises `DestinationError` when the ending is not one of `.jsonl`, `.ndjson`, both also with
    `.gz`, `.parquet` and `.pq`; when something is there, unless `overwrite`; for a folder; when
    the folder or bucket cannot be written; for a driver that is not installed.
    """
    _destination(url, storage_options).check(overwrite=overwrite)


def is_there(url: str | os.PathLike[str]) -> bool:
    """Whether something is there already. Raises `DestinationError` where it cannot be asked."""
    destination = _destination(url, None)
    with destination.explained():
        destination.filesystem.invalidate_cache()
        return bool(destination.filesystem.exists(destination.path))


@contextmanager
def open_sink(
    url: str | os.PathLike[str],
    *,
    schema: Mapping[str, ColumnType] | None,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None = None,
) -> Iterator[Sink]:
    """Open the output; it is there, whole, when the block has ended well, and never in part.

    It is written to `.name.….part` beside its place, brought to disk, and moved. A block that
    raises leaves nothing; a process that is killed leaves that file.

    Args:
        url: A path, or a URL of fsspec; see `check_destination`, which is done first.
        schema: For Parquet: the types of columns beside those of `BatchResult`: `string`,
            `int64`, `double`, `bool`, or `json` for anything, written as JSON text.
        overwrite: Whether a file that is there, or comes meanwhile, is replaced.
        storage_options: What the filesystem takes: a region, an endpoint, credentials, …

    Raises `DestinationError`.
    """
    destination = _destination(url, storage_options)
    destination.check(overwrite=overwrite)
    with ExitStack() as file_open, ExitStack() as sink_open:
        # Errors of the block are the caller's, so that only what is around it is explained.
        with destination.explained():
            file = file_open.enter_context(destination.whole_file())
            sink = sink_open.enter_context(destination.sink(file, schema or {}))
        yield sink
        with destination.explained():
            sink_open.close()
            if not overwrite:
                destination.refuse_what_is_there()
            file_open.close()


@dataclass(frozen=True, slots=True)
class _Destination:
    """One file to be."""

    filesystem: Any
    path: str
    name: str
    """As the user would name it."""

    def check(self, *, overwrite: bool) -> None:
        if not self.path.lower().endswith(_JSON_LINES + _PARQUET):
            endings = ", ".join(_JSON_LINES + _PARQUET)
            raise DestinationError(f"{self.name!r}: known endings are {endings}.", url=self.name)
        if self.path.lower().endswith(_PARQUET):
            needs_pyarrow(self.name)
        with self.explained():
            self.filesystem.invalidate_cache()
            if self.filesystem.isdir(self.path):
                raise DestinationError(f"{self.name!r} is a folder; name a file.", url=self.name)
            if not overwrite:
                self.refuse_what_is_there()
            try_to_write(self.filesystem, self.path, self.name)

    def refuse_what_is_there(self) -> None:
        if self.filesystem.exists(self.path):
            raise DestinationError(
                f"{self.name!r} exists: remove it, name another file, or replace it with "
                "overwrite=True (--overwrite).",
                url=self.name,
            )

    def whole_file(self) -> AbstractContextManager[BinaryIO]:
        if is_local(self.filesystem):
            return whole_file(Path(self.path))
        return whole_remote_file(self.filesystem, self.path)

    def sink(
        self, file: BinaryIO, schema: Mapping[str, ColumnType]
    ) -> AbstractContextManager[Sink]:
        if self.path.lower().endswith(_PARQUET):
            return parquet_sink(file, schema, self.name)
        return _json_lines(file, self.name, compressed=self.path.lower().endswith(".gz"))

    def explained(self) -> AbstractContextManager[None]:
        return explained(DestinationError, self.name, "cannot be written")


def _destination(
    url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None
) -> _Destination:
    filesystem, path = open_filesystem(url, storage_options, DestinationError)
    if is_local(filesystem):
        # A link stays, and leads to the new file.
        path = Path(path).resolve().as_posix()
    return _Destination(filesystem, path, shown(url))


@contextmanager
def _json_lines(file: BinaryIO, name: str, *, compressed: bool) -> Iterator[Sink]:
    if not compressed:
        sink = _JsonLines(file, name)
        yield sink
        sink.flush()
        return
    # Without a name and a time in it, the same rows make the same bytes.
    with closing(gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0)) as zipped:
        sink = _JsonLines(zipped, name)
        yield sink
        sink.flush()


class _JsonLines:
    """Rows as lines, written a block at a time."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, name: str) -> None:
        self._file, self._name = file, name
        # Its memory is used again and again: to the system, each new one costs more than a write.
        self._block = io.BytesIO()

    def write(self, line: bytes) -> None:
        self._block.write(line)
        self._block.write(b"\n")
        if self._block.tell() >= _BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        failing = explained(DestinationError, self._name, "cannot be written")
        with failing, self._block.getbuffer() as whole:
            self._file.write(whole[: self._block.tell()])
        self._block.seek(0)
