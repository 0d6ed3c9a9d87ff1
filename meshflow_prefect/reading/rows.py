"""What reading brings: the files of a source, and the rows in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

Kind: TypeAlias = Literal["jsonl", "csv", "parquet"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source, as it was when the source was opened."""

    path: str
    """Its path in its filesystem."""
    name: str
    """The file as the user would name it; a URL for remote ones, without passwords."""
    relative: str
    """Its path in the source's folder, or its bare name: the same wherever the folder is."""
    kind: Kind
    ending: str
    """What its kind was told by, such as `.tsv`; lower case, without that of the compression."""
    compression: str | None
    """fsspec's name of the compression around it, such as `gzip`; None without one."""
    size: int | None
    """In bytes, as stored. None where the server does not say."""
    version: str
    """Changes when the file does: its ETag, the time of its modification, or whatever there is."""


class Row(NamedTuple):
    """One row of the input, or why it cannot be read."""

    number: int
    """Counted from 0 over all files of the source; rows with a problem count too."""
    file: str
    """The name of the row's file, as in `SourceFile.name`."""
    line: int
    """The line of the file on which the row starts; for Parquet the row of the file. From 1; 0: the
    row is the whole file."""
    values: Mapping[str, Any]
    """Columns by name, as JSON values; where there is a problem, no more than the row's name."""
    problem: str = ""
    """Why the row cannot be read; empty when it can."""
    kept: Mapping[str, Any] | None = None
    """What the output has of the row, when it has the input's columns; None: its values."""

    @property
    def place(self) -> str:
        """Where the row is: `reviews.jsonl, line 12`."""
        return place_in(self.file, self.line)


class RowSource(Protocol):
    """Rows that can be read again and again, such as those of a `Source`."""

    @property
    def url(self) -> str:
        """Where they come from, as it may be shown."""

    @property
    def fingerprint(self) -> str:
        """Another when they may have changed; nothing is read for it."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Their columns, where these are known before they are read."""

    def rows(self) -> Iterator[Row]:
        """Yield them, in order."""


def place_in(file: str, line: int) -> str:
    """Return where a line is: `reviews.jsonl, line 12`; of Parquet files it is a row."""
    if not line:
        return file
    unit = "row" if file.lower().endswith((".parquet", ".pq")) else "line"
    return f"{file}, {unit} {line}"
