"""CSV and TSV → rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from meshflow_prefect.errors import SourceError
from meshflow_prefect.reading.opening import opened_text
from meshflow_prefect.reading.rows import Row, SourceFile

_FIELD_CHARACTERS = 1 << 26
"""A field longer than this is a quote that was never closed; nothing so long fits a request."""

_NOTHING: dict[str, Any] = {}


class _Lines:
    """The lines of a file as text, and which one was the last that is not UTF-8."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self.undecodable = 0
        self.problem = ""

    def __iter__(self) -> Iterator[str]:
        # At b"\n" only, line ends kept: what is a line end in a quoted field belongs to the field.
        for number, line in enumerate(self._stream, 1):
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                self.undecodable = number
                self.problem = f"not UTF-8: byte 0x{line[error.start]:02x} in line {number}"
                yield line.decode(errors="replace")


def csv_columns(filesystem: Any, file: SourceFile) -> tuple[str, ...]:
    """Return the columns that the header of a CSV file names, and check them."""
    with opened_text(filesystem, file) as stream:
        lines = _Lines(stream)
        return _header(file, lines, _reader(file, lines))


def csv_rows(filesystem: Any, file: SourceFile, first: int) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV file; `first` is the number of the first one."""
    with opened_text(filesystem, file) as stream:
        lines = _Lines(stream)
        reader = _reader(file, lines)
        yield from _rows(file.name, lines, reader, _header(file, lines, reader), first)


def _reader(file: SourceFile, lines: _Lines) -> Any:
    # The limit is one of the process, and never lowered: others may need a larger one.
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))
    delimiter = "\t" if file.ending == ".tsv" else ","
    # Strict: a quote that is never closed is an error, not one field up to the end of the file.
    return csv.reader(iter(lines), delimiter=delimiter, strict=True)


def _header(file: SourceFile, lines: _Lines, reader: Any) -> tuple[str, ...]:
    try:
        header: list[str] = next((record for record in reader if record), [])
    except csv.Error as error:
        raise _wrong_header(file, f"cannot be read: {error}") from None
    if lines.problem:
        raise _wrong_header(file, f"is {lines.problem}")
    if not header:
        raise _wrong_header(file, "is missing")
    if doubled := [name for position, name in enumerate(header) if name in header[:position]]:
        raise _wrong_header(file, f"names the column {doubled[0]!r} twice")
    if "" in header:
        raise _wrong_header(file, f"has no name for column {header.index('') + 1}")
    own, others = ("tabs", ",;") if file.ending == ".tsv" else ("commas", ";\t")
    if len(header) == 1 and any(separator in header[0] for separator in others):
        raise _wrong_header(
            file, f"is one column, {header[0]!r}: in a {file.ending} file {own} part the columns"
        )
    return tuple(header)


def _rows(
    name: str, lines: _Lines, reader: Any, columns: tuple[str, ...], number: int
) -> Iterator[Row]:
    width = len(columns)
    while True:
        start = reader.line_num + 1
        problem = ""
        record: list[str] = []
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"bad CSV: {error}"
        else:
            if not record:
                continue
            if len(record) != width:
                problem = f"expected {width} fields, as in the header, got {len(record)}"
        if lines.undecodable >= start:
            problem = lines.problem
        if problem:
            yield Row(number, name, start, _NOTHING, problem)
        else:
            yield Row(number, name, start, dict(zip(columns, record, strict=True)))
        number += 1


def _wrong_header(file: SourceFile, what: str) -> SourceError:
    return SourceError(f"{file.name!r}: the header {what}.", url=file.name)
