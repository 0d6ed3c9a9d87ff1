"""A dataset → cases, every one of them checked before anything is sent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.chunking import id_suffix
from meshflow_prefect.errors import BadRowsError, InvalidRequestError, SourceError
from meshflow_prefect.sources import Source

Dataset: TypeAlias = str | os.PathLike[str] | Iterable[Mapping[str, Any]]
"""What `Source` reads (a path or URL of JSON lines, CSV or Parquet), or rows, such as a DataFrame's
`.to_dict("records")`."""

_NAMED = 20
"""How many bad rows an error names; reading stops there."""

_ROWS = "the dataset"


@dataclass(frozen=True)
class Case:
    """One row of a dataset."""

    id: str
    """The row's `id` where it has one, else its number, from 0."""
    values: Mapping[str, Any]
    """Columns by name, as JSON values."""

    def text(self, column: str) -> str:
        """Return a column as a text; empty where it is missing, null or blank."""
        value = self.values.get(column)
        if value is None:
            return ""
        return value.strip() if isinstance(value, str) else exact_json.dumps(value).decode()


@dataclass(frozen=True)
class Cases:
    """A whole dataset, in memory."""

    name: str
    """Where it comes from, as it may be shown."""
    rows: tuple[Case, ...]
    """At least one, in their order; their ids are unique."""

    def ids(self, job: str) -> list[str]:
        """Return a custom id for each case, the same at every replay of a job on these cases.

        On other cases they are others, so that what was submitted for a dataset that has changed
        since is not taken for the answers to this one.
        """
        content = hashlib.sha256(job.encode())
        for case in self.rows:
            content.update(exact_json.dumps([case.id, case.values], option=orjson.OPT_SORT_KEYS))
        suffix = id_suffix(content.hexdigest())
        return [f"case-{number}-{suffix}" for number in range(len(self.rows))]


def read_cases(
    dataset: Dataset, *, columns: Sequence[str], check: Callable[[Case], object]
) -> Cases:
    """Return the cases of a dataset. Takes its time: call it in a thread.

    Args:
        dataset: A path, a URL, or rows.
        columns: What every row must have.
        check: Raises `InvalidRequestError` for a case that is none.

    Raises `SourceError` for what cannot be read or has no rows, `InvalidRequestError` for a file
    that lacks a column, `BadRowsError` for bad rows, each with its file and line.
    """
    url, rows = _rows(dataset, columns)
    name = repr(url) if url else _ROWS
    cases: list[Case] = []
    places: dict[str, str] = {}
    bad: list[str] = []
    for number, (place, values, problem) in enumerate(rows):
        try:
            case = _case(number, values, problem, columns)
            check(case)
            _check_new(case, place, places)
        except InvalidRequestError as error:
            bad.append(f"{place}: {error.message.removesuffix('.')}")
            if len(bad) == _NAMED:
                break
        else:
            cases.append(case)
    if bad:
        raise BadRowsError(
            f"{len(bad)} rows of {name} are no cases: {'; '.join(bad)}."
            f"{' The rest was not read.' if len(bad) == _NAMED else ''} Nothing was submitted.",
            rows=bad,
        )
    if not cases:
        raise SourceError(f"{name} has no rows; there is nothing to submit.")
    return Cases(url or f"{len(cases):,} rows", tuple(cases))


_Read: TypeAlias = Iterator[tuple[str, Mapping[str, Any], str]]
"""Where a row is, what is in it, and why it cannot be read."""


def _rows(dataset: Dataset, columns: Sequence[str]) -> tuple[str, _Read]:
    """Return the URL of a dataset, or an empty text where it is none, and its rows."""
    if not isinstance(dataset, str | os.PathLike):
        if isinstance(dataset, Mapping) or not isinstance(dataset, Iterable):
            raise InvalidRequestError(
                "dataset: expected a path, a URL or a list of rows, got a "
                f"{type(dataset).__name__}. Of a DataFrame, give df.to_dict('records')."
            )
        return "", _given(dataset)
    source = Source.open(dataset)
    known = source.columns
    if known is not None and (lacking := [each for each in columns if each not in known]):
        raise InvalidRequestError(
            f"{source.url!r} has no column {lacking[0]!r}. Its columns: {', '.join(known)}."
        )
    return source.url, ((row.place, row.values, row.problem) for row in source.rows())


def _given(rows: Iterable[Mapping[str, Any]]) -> _Read:
    for number, row in enumerate(rows):
        place = f"row {number}"
        if not isinstance(row, Mapping):
            yield place, {}, f"expected a mapping of columns, got a {type(row).__name__}"
            continue
        try:
            # What a file would hold: numbers of numpy become numbers, dates texts, NaN null.
            text = exact_json.dumps(dict(row), option=orjson.OPT_SERIALIZE_NUMPY)
        except TypeError as error:
            yield place, {}, f"cannot be written as JSON: {error}"
        else:
            yield place, exact_json.loads(text), ""


def _case(number: int, values: Mapping[str, Any], problem: str, columns: Sequence[str]) -> Case:
    if problem:
        raise InvalidRequestError(problem)
    if lacking := [column for column in columns if column not in values]:
        raise InvalidRequestError(f"column {lacking[0]!r} is missing")
    found = values.get("id", number)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        kind = "null" if found is None else repr(found)
        raise InvalidRequestError(f"column 'id': expected a text or a whole number, got {kind}")
    return Case(str(found), values)


def _check_new(case: Case, place: str, places: dict[str, str]) -> None:
    """Raise `InvalidRequestError` for an id that occurs twice; remember where it is."""
    if (first := places.setdefault(case.id, place)) != place:
        raise InvalidRequestError(f"id {case.id!r} was used before, in {first}")
