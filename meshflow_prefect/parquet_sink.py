"""JSON objects → a Parquet file whose columns are known before the first row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, BinaryIO, Literal, NoReturn, TypeAlias

from meshflow_prefect import exact_json
from meshflow_prefect.errors import DestinationError
from meshflow_prefect.filesystems import explained
from meshflow_prefect.whole_files import closing

ColumnType: TypeAlias = Literal["string", "int64", "double", "bool", "json"]
"""`json` is a string column that holds any value as JSON text."""

RESULT_TYPES: Mapping[str, ColumnType] = {
    "custom_id": "string",
    "status": "string",
    "output": "string",
    "tokens": "int64",
    "cost_usd": "double",
    "error": "string",
    "error_type": "string",
    "stop_reason": "string",
    "model": "string",
    "usage": "json",
    "message": "json",
    "attempts": "int64",
    "parsed": "json",
    "earlier_usage": "json",
    "succeeded": "bool",
    "refused": "bool",
    "truncated": "bool",
}
"""The columns of `BatchResult.to_dict`, which every file has, in their order."""

_PYTHON_TYPES: Mapping[ColumnType, set[type]] = {
    "string": {str, type(None)},
    "int64": {int, type(None)},
    "double": {float, int, type(None)},
    "bool": {bool, type(None)},
}

_BATCH_ROWS, _BATCH_BYTES = 5_000, 4 << 20
"""What is held as JSON lines before it becomes columns."""

_GROUP_ROWS, _GROUP_BYTES = 50_000, 32 << 20
"""What is held as columns before it is written as a row group."""


def needs_pyarrow(name: str) -> None:
    """Raise `DestinationError` where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise DestinationError(
            f"{name!r}: writing Parquet needs pyarrow: pip install 'meshflow-prefect[parquet]'.",
            url=name,
        )


@contextmanager
def parquet_sink(
    file: BinaryIO, schema: Mapping[str, ColumnType], name: str
) -> Iterator[ParquetSink]:
    """Write rows to `file` as Parquet, compressed with zstd; `schema` adds columns.

    A row may lack columns, which are null then. One that has others, or a value of another type,
    is a `DestinationError`, as is a column of `schema` that `BatchResult` has.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    if doubled := sorted(RESULT_TYPES.keys() & schema.keys()):
        raise DestinationError(
            f"{name!r}: the column {doubled[0]!r} is one of the results' own: rename it.", url=name
        )
    columns = {**RESULT_TYPES, **schema}
    arrow = {
        "string": pa.string(),
        "json": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
    }
    types = {column: arrow[kind] for column, kind in columns.items()}
    writing = pq.ParquetWriter(file, pa.schema(list(types.items())), compression="zstd")
    with closing(writing) as writer:
        sink = ParquetSink(writer, columns, types, name)
        yield sink
        sink.flush()


class ParquetSink:
    """Rows on their way into a Parquet file, in batches and row groups of bounded size."""

    def __init__(
        self, writer: Any, columns: Mapping[str, ColumnType], types: Mapping[str, Any], name: str
    ) -> None:
        self._writer, self._columns, self._types, self._name = writer, columns, types, name
        self._lines: list[bytes] = []
        self._line_bytes = 0
        self._batches: list[Any] = []
        self._group_rows = self._group_bytes = 0
        self._written = 0

    def write(self, line: bytes) -> None:
        """Add one row; see `sinks.Sink`. A value that does not fit is told some rows later."""
        self._lines.append(line)
        self._line_bytes += len(line)
        if len(self._lines) >= _BATCH_ROWS or self._line_bytes >= _BATCH_BYTES:
            self._make_batch()
            if self._group_rows >= _GROUP_ROWS or self._group_bytes >= _GROUP_BYTES:
                self._write_group()

    def flush(self) -> None:
        """Write what is still held, as a last row group."""
        if self._lines:
            self._make_batch()
        if self._batches:
            self._write_group()

    def _make_batch(self) -> None:
        import pyarrow as pa

        rows = [exact_json.loads(line) for line in self._lines]
        for position, row in enumerate(rows):
            if not row.keys() <= self._columns.keys():
                unknown = sorted(row.keys() - self._columns.keys())[0]
                self._refuse(position, unknown, "is not in the schema")
        arrays = [self._array(rows, column) for column in self._columns]
        batch = pa.RecordBatch.from_arrays(arrays, names=list(self._columns))
        self._batches.append(batch)
        self._group_rows += len(rows)
        self._group_bytes += batch.nbytes
        self._written += len(rows)
        self._lines.clear()
        self._line_bytes = 0

    def _array(self, rows: list[dict[str, Any]], column: str) -> Any:
        import pyarrow as pa

        kind, values = self._columns[column], [row.get(column) for row in rows]
        if kind == "json":
            values = [
                None if value is None else exact_json.dumps(value).decode() for value in values
            ]
        elif not set(map(type, values)) <= _PYTHON_TYPES[kind]:
            # pyarrow would cut 1.5 to 1 and take true for 1.
            self._refuse_first(values, column, lambda value: type(value) in _PYTHON_TYPES[kind])
        try:
            return pa.array(values, self._types[column])
        except OverflowError:
            self._refuse_first(values, column, lambda value: value is None or value < 2**63)

    def _write_group(self) -> None:
        import pyarrow as pa

        with explained(DestinationError, self._name, "cannot be written"):
            self._writer.write_table(pa.Table.from_batches(self._batches), self._group_rows)
        self._batches.clear()
        self._group_rows = self._group_bytes = 0

    def _refuse_first(
        self, values: list[Any], column: str, fits: Callable[[Any], bool]
    ) -> NoReturn:
        position, value = next(item for item in enumerate(values) if not fits(item[1]))
        self._refuse(position, column, f"holds {value!r:.60}, which is no {self._columns[column]}")

    def _refuse(self, position: int, column: str, why: str) -> NoReturn:
        number = self._written + position + 1
        raise DestinationError(
            f"{self._name!r}: row {number}: column {column!r} {why}.",
            url=self._name,
            row=number,
            column=column,
        )
