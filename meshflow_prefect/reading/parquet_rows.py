"""Parquet → rows, about two megabytes at a time however large a row group is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from meshflow_prefect.errors import SourceError
from meshflow_prefect.filesystems import is_local
from meshflow_prefect.reading.arrow_values import column_reader, without_nulls
from meshflow_prefect.reading.opening import opened
from meshflow_prefect.reading.rows import Row, SourceFile

_BATCH_BYTES = 2 << 20
_BATCH_ROWS = 8192
_BUFFER_BYTES = 1 << 20
"""What is read of one column at a time. Without it pyarrow reads a row group's whole column."""

_OF_REQUESTS = ("params", "messages")
"""Columns that are, or are part of, a request: what is null in them is not given."""

_NOTHING: dict[str, Any] = {}


def parquet_columns(filesystem: Any, file: SourceFile) -> tuple[str, ...]:
    """Return the columns of a Parquet file's schema, and check them."""
    with _opened(filesystem, file) as parquet:
        return _columns(file, parquet)


def parquet_rows(filesystem: Any, file: SourceFile, first: int) -> Iterator[Row]:
    """Yield the rows of a Parquet file; `first` is the number of the first one."""
    with _opened(filesystem, file) as parquet:
        columns = _columns(file, parquet)
        readers = [_reader(field) for field in parquet.schema_arrow]
        line = 0
        for batch in parquet.iter_batches(_batch_rows(parquet.metadata), use_threads=False):
            problems: dict[int, str] = {}
            values = [
                _values(read, column, name, problems)
                for read, column, name in zip(readers, batch.columns, columns, strict=True)
            ]
            for position, row in enumerate(zip(*values, strict=True)):
                line += 1
                if problem := problems.get(position, ""):
                    yield Row(first, file.name, line, _NOTHING, problem)
                else:
                    yield Row(first, file.name, line, dict(zip(columns, row, strict=True)))
                first += 1


@contextmanager
def _opened(filesystem: Any, file: SourceFile) -> Iterator[Any]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError as error:
        raise SourceError(
            f"{file.name!r}: reading Parquet needs pyarrow: "
            "pip install 'meshflow-prefect[parquet]'.",
            url=file.name,
        ) from error
    with opened(filesystem, file) as stored:
        try:
            # pyarrow reads a local file itself, beside Python.
            place = file.path if is_local(filesystem) else stored
            with pq.ParquetFile(place, buffer_size=_BUFFER_BYTES, pre_buffer=False) as parquet:
                yield parquet
        except pa.ArrowException as error:
            raise SourceError(
                f"{file.name!r} cannot be read as Parquet: {error}", url=file.name
            ) from error


def _columns(file: SourceFile, parquet: Any) -> tuple[str, ...]:
    names = tuple(parquet.schema_arrow.names)
    if doubled := [name for position, name in enumerate(names) if name in names[:position]]:
        raise SourceError(f"{file.name!r} has the column {doubled[0]!r} twice.", url=file.name)
    return names


def _batch_rows(metadata: Any) -> int:
    """Return how many rows to hold at a time, by the largest rows that a row group has."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    row_bytes = max((g.total_byte_size // max(g.num_rows, 1) for g in groups), default=0)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(row_bytes, 1)))


def _reader(field: Any) -> Callable[[Any], list[Any]]:
    read = column_reader(field.type)
    if field.name not in _OF_REQUESTS:
        return read
    return lambda column: list(map(without_nulls, read(column)))


def _values(
    read: Callable[[Any], list[Any]], column: Any, name: str, problems: dict[int, str]
) -> list[Any]:
    """Return the column's values; those that cannot be JSON are None, and told in `problems`."""
    try:
        return read(column)
    except (ValueError, OverflowError, TypeError):
        values: list[Any] = []
        for position in range(len(column)):
            try:
                values += read(column.slice(position, 1))
            except (ValueError, OverflowError, TypeError) as error:
                values.append(None)
                problems.setdefault(position, f"column {name!r} cannot be written as JSON: {error}")
        return values
