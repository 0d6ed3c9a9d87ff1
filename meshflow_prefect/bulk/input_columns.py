"""The input's columns in the output: under which names, and of which types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshflow_prefect.models import RESULT_COLUMNS
from meshflow_prefect.parquet_sink import ColumnType

_PREFIX = "input_"

_EXACT = 2**53
"""Whole numbers up to this are the same as `double`."""


class InputColumns:
    """Takes note of the columns of the rows that pass."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._types: dict[str, ColumnType | None] = {}
        self._long: set[str] = set()
        """Those with a whole number that no `double` is."""

    def renamed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row's values under their names in the output.

        A name that a column of the results has gets `input_` before it.
        """
        row = {}
        for column, value in values.items():
            name = self._names.get(column)
            if name is None:
                name = self._names[column] = self._free_name(column)
                self._types[name] = None
            if value is not None:
                kind = _type_of(value)
                self._types[name] = _common(self._types[name], kind)
                if kind == "int64" and abs(value) > _EXACT:
                    self._long.add(name)
            row[name] = value
        return row

    @property
    def types(self) -> dict[str, ColumnType]:
        """The columns so far, in the order in which they came; one without values is text."""
        return {
            name: "json" if kind == "double" and name in self._long else kind or "string"
            for name, kind in self._types.items()
        }

    def _free_name(self, column: str) -> str:
        name = column
        while name in RESULT_COLUMNS or name in self._types:
            name = _PREFIX + name
        return name


def _type_of(value: Any) -> ColumnType:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -(2**63) <= value < 2**63 else "json"
    if isinstance(value, float):
        return "double"
    return "string" if isinstance(value, str) else "json"


def _common(known: ColumnType | None, found: ColumnType) -> ColumnType:
    if known is None or known == found:
        return found
    return "double" if {known, found} == {"int64", "double"} else "json"
