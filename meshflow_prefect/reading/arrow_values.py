"""Arrow columns → Python values that can be written as JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID


def column_reader(kind: Any) -> Callable[[Any], list[Any]]:
    """Return what makes JSON values of an Arrow column of this type.

    Nulls are None, as are floats that are not finite, for JSON has no such numbers. Dates and
    times are ISO texts (nanoseconds are cut), durations are seconds, decimals are texts that keep
    every digit, bytes are base64, maps with text keys are objects and others lists of pairs.
    The reader raises ValueError, OverflowError or TypeError for a value that has no such form.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    if _is_plain(pa.types, kind):
        return lambda column: column.to_pylist()
    target = _in_python(pa, kind)

    def read(column: Any) -> list[Any]:
        if target != kind:
            column = column.cast(target, safe=False)
        return [_json_value(value) for value in column.to_pylist()]

    return read


def without_nulls(value: Any) -> Any:
    """Return a value whose objects lack the fields that are None.

    All structs of an Arrow column have the same fields: in the parameters of a request those that
    are null are not given.
    """
    if type(value) is dict:
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if type(value) is list else value


def _is_plain(types: Any, kind: Any) -> bool:
    """Whether the type's Python values are JSON values as they are."""
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(types, kind.value_type)
    if types.is_struct(kind):
        return all(_is_plain(types, field.type) for field in kind)
    if types.is_dictionary(kind):
        return _is_plain(types, kind.value_type)
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_integer(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
    )


def _in_python(pa: Any, kind: Any) -> Any:
    """Return the type with microseconds for nanoseconds, of which Python has none."""
    types = pa.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if types.is_list(kind):
        return pa.list_(_field(pa, kind.value_field))
    if types.is_large_list(kind):
        return pa.large_list(_field(pa, kind.value_field))
    if types.is_struct(kind):
        return pa.struct([_field(pa, field) for field in kind])
    if types.is_dictionary(kind):
        return _in_python(pa, kind.value_type)
    return kind


def _field(pa: Any, field: Any) -> Any:
    return field.with_type(_in_python(pa, field.type))


def _json_value(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict:
        return {key: _json_value(item) for key, item in value.items()}
    if kind is list:
        return _list_or_map(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"values of type {kind.__name__}")


def _list_or_map(value: list[Any]) -> Any:
    # pyarrow gives a map as its pairs, and nothing else as tuples.
    if value and all(type(pair) is tuple for pair in value):
        if all(type(key) is str for key, _ in value):
            return {key: _json_value(item) for key, item in value}
        return [[_json_value(key), _json_value(item)] for key, item in value]
    return [_json_value(item) for item in value]
