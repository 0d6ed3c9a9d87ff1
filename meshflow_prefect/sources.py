"""Files in: one file, a glob or a folder of JSON lines, CSV or Parquet → a stream of rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from meshflow_prefect.errors import SourceError
from meshflow_prefect.file_contents import contents_of, versions_of
from meshflow_prefect.filesystems import is_local, open_filesystem, shown
from meshflow_prefect.reading.csv_records import csv_columns, csv_rows
from meshflow_prefect.reading.json_lines import check_json_lines, json_line_rows
from meshflow_prefect.reading.listing import list_files
from meshflow_prefect.reading.parquet_rows import parquet_columns, parquet_rows
from meshflow_prefect.reading.rows import Kind, Row, SourceFile

__all__ = ["Row", "Source", "SourceFile"]

_ROWS: Mapping[Kind, Callable[[Any, SourceFile, int], Iterator[Row]]] = {
    "jsonl": json_line_rows,
    "csv": csv_rows,
    "parquet": parquet_rows,
}


class Source:
    """One file, a glob or a folder; local or any fsspec URL (`s3://`, `gs://`, `memory://`, …).

    Kinds are told by the ending: `.jsonl`, `.ndjson` and `.json` hold one JSON object a line,
    `.csv` and `.tsv` a header and records, `.parquet` and `.pq` Parquet. Text files may be
    compressed (`.jsonl.gz`, also `.bz2`, `.xz`, and `.zst` or `.lz4` where their packages are
    installed). Texts are UTF-8, with or without a byte order mark.
    """

    def __init__(self, *, url: str, filesystem: Any, files: tuple[SourceFile, ...]) -> None:
        self.url = url
        """The source as it was given, without passwords."""
        self.files = files
        """In the order in which they are read; at least one."""
        self._filesystem = filesystem

    @classmethod
    def open(
        cls, url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
    ) -> Source:
        """List the files of a source. Nothing is read but the start of `.json` files.

        Files are in natural order of their paths: `part-2` comes before `part-10`. A folder is
        searched with all its subfolders, and may hold files of several kinds. Names that start
        with `.` or `_` (`_SUCCESS`, `_metadata`), and what is in such folders, are left out,
        except of a glob that has such a name. A file or folder of exactly this name comes before
        what `*`, `?` and `[` in it would match.

        Args:
            url: A path, or a URL of fsspec.
            storage_options: What its filesystem takes: a region, an endpoint, credentials, …

        Raises `SourceError`, naming the files, when nothing is there; when a folder or glob has
        no files, or others than these, so that nothing is left out unnoticed; for empty files (0
        bytes); for a `.json` file with one document; for a driver that is not installed, a file
        or folder that must not be read.
        """
        filesystem, path = open_filesystem(url, storage_options, SourceError)
        files = list_files(filesystem, path, os.fspath(url))
        for file in files:
            if is_local(filesystem) and not os.access(file.path, os.R_OK):
                raise SourceError(f"{file.name!r}: no permission to read it.", url=file.name)
            if file.kind == "jsonl":
                check_json_lines(filesystem, file)
        return cls(url=shown(url), filesystem=filesystem, files=files)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the files' names, sizes and versions, for which nothing is read.

        Another when a file came, went, was renamed or changed. The same wherever the source's
        folder is mounted, as long as the times of modification are.
        """
        return versions_of(self.files)

    def content(self) -> str:
        """Return a hex digest of the files' names and of what is in them; see `contents_of`."""
        return contents_of(self.files, self._filesystem, self.url)

    @cached_property
    def columns(self) -> tuple[str, ...] | None:
        """The columns of all files, in the order in which they first occur; None with JSON lines.

        Reads, when it is first asked for, the header or the schema of every CSV or Parquet file,
        and raises `SourceError` for one that cannot be read, or has a column twice or unnamed.
        """
        names: dict[str, None] = {}
        known = True
        for file in self.files:
            if file.kind == "csv":
                names |= dict.fromkeys(csv_columns(self._filesystem, file))
            elif file.kind == "parquet":
                names |= dict.fromkeys(parquet_columns(self._filesystem, file))
            else:
                known = False
        return tuple(names) if known else None

    def rows(self) -> Iterator[Row]:
        """Yield the rows of all files in order; may be called again, also while another goes on.

        Memory does not grow with the files, except with their longest row. What is wrong with one
        row is told in `Row.problem`, and the next ones follow. Blank lines are no rows, and count
        as lines. Values of CSV are texts, and an empty field is an empty text. For those of
        Parquet see `reading.arrow_values`.

        Raises `SourceError` for what is wrong with a whole file, at the latest on the way.
        """
        number = 0
        for file in self.files:
            for row in _ROWS[file.kind](self._filesystem, file, number):
                yield row
                number = row.number + 1
