"""A reply against what was expected of it → a grade. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NoReturn, Protocol, TypeAlias, get_args

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.models import BatchResult

GraderName: TypeAlias = Literal["exact", "regex", "json"]

_SHOWN = 60


@dataclass(frozen=True)
class Grade:
    """How good one reply is."""

    score: float
    """From 0.0 to 1.0."""
    passed: bool
    reason: str = ""
    """Why, in words; empty where it passed and there is nothing to say."""
    problem: str = ""
    """Why the reply could not be graded, such as a judge that answered nonsense: the grade is then
    a failed one, with the score 0.0. Empty for every other grade."""

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values."""
        return asdict(self)


PASSED = Grade(1.0, passed=True)


def failed(reason: str) -> Grade:
    """Return the grade of a reply that is not what was expected."""
    return Grade(0.0, passed=False, reason=reason)


def not_graded(problem: str) -> Grade:
    """Return the failed grade of a reply that nobody could judge."""
    return Grade(0.0, passed=False, reason=problem, problem=problem)


class Grader(Protocol):
    """What compares a reply with the `expected` of its case."""

    def check(self, expected: Any) -> None:
        """Raise `InvalidRequestError`, saying why, for an `expected` that means nothing."""

    def grade(self, output: str, expected: Any) -> Grade | float:
        """Return the grade of a reply; a number from 0.0 to 1.0 is a score, of which 1.0 passes."""


@dataclass(frozen=True)
class ExactMatch:
    """Passes a reply that is the expected text, apart from blanks around both."""

    ignore_case: bool = False

    def check(self, expected: Any) -> None:
        """Raise `InvalidRequestError` unless `expected` is a text or a number."""
        if isinstance(expected, bool) or not isinstance(expected, str | int | float):
            _refuse(f"expected a text, got {type(expected).__name__}")

    def grade(self, output: str, expected: Any) -> Grade:
        """Return 1 for an equal text, else 0."""
        found, wanted = output.strip(), str(expected).strip()
        if self.ignore_case:
            found, wanted = found.casefold(), wanted.casefold()
        if found == wanted:
            return PASSED
        return failed(f"expected {_short(str(expected))}, got {_short(output)}")


@dataclass(frozen=True)
class RegularExpression:
    """Passes a reply in which the expected regular expression matches anywhere."""

    def check(self, expected: Any) -> None:
        """Raise `InvalidRequestError` unless `expected` is a regular expression of Python."""
        if not isinstance(expected, str):
            _refuse(f"expected a regular expression, got {type(expected).__name__}")
        try:
            re.compile(expected)
        except re.error as error:
            _refuse(f"{expected!r} is not a regular expression: {error}")

    def grade(self, output: str, expected: Any) -> Grade:
        """Return 1 where there is a match, else 0."""
        if re.search(expected, output):
            return PASSED
        return failed(f"no match of {_short(expected)} in {_short(output)}")


@dataclass(frozen=True)
class JsonEquality:
    """Passes a reply that is JSON and equal to the expected value.

    The order of keys is of no matter, that of lists is. Numbers are equal within `tolerance` of the
    larger one, so that 1 is 1.0, and 0.1 + 0.2 is 0.3; `true` is not 1.
    """

    tolerance: float = 1e-9

    def check(self, expected: Any) -> None:
        """Raise `InvalidRequestError` for a text that is not JSON; other values are taken as is."""
        if isinstance(expected, str):
            try:
                exact_json.loads(expected)
            except orjson.JSONDecodeError as error:
                _refuse(f"{_short(expected)} is not JSON: {error}")

    def grade(self, output: str, expected: Any) -> Grade:
        """Return 1 for an equal value, else 0 with the place of the first difference."""
        wanted = exact_json.loads(expected) if isinstance(expected, str) else expected
        try:
            found = exact_json.loads(output)
        except orjson.JSONDecodeError as error:
            return failed(f"the reply is not JSON: {error}")
        difference = self._difference(found, wanted, "")
        return PASSED if difference is None else failed(difference)

    def _difference(self, found: Any, wanted: Any, at: str) -> str | None:
        """Return where and how two values differ, or None where they do not."""
        if isinstance(wanted, Mapping) and isinstance(found, Mapping):
            if missing := [key for key in wanted if key not in found]:
                return f"{_place(at, missing[0])}: is missing"
            if extra := [key for key in found if key not in wanted]:
                return f"{_place(at, extra[0])}: was not expected"
            pairs = [(key, found[key], each) for key, each in wanted.items()]
        elif isinstance(wanted, list) and isinstance(found, list):
            if len(found) != len(wanted):
                return f"{_place(at)}: expected {len(wanted)} items, got {len(found)}"
            pairs = [(n, *both) for n, both in enumerate(zip(found, wanted, strict=True))]
        elif self._equal(found, wanted):
            return None
        else:
            return f"{_place(at)}: expected {_json(wanted)}, got {_json(found)}"
        differences = (self._difference(one, two, _place(at, key)) for key, one, two in pairs)
        return next((each for each in differences if each is not None), None)

    def _equal(self, found: Any, wanted: Any) -> bool:
        numbers = (
            isinstance(each, int | float) and not isinstance(each, bool) for each in (found, wanted)
        )
        if all(numbers):
            return math.isclose(found, wanted, rel_tol=self.tolerance)
        return type(found) is type(wanted) and bool(found == wanted)


_GRADERS: Mapping[str, Grader] = {
    "exact": ExactMatch(),
    "regex": RegularExpression(),
    "json": JsonEquality(),
}


def grader_of(wanted: GraderName | Grader) -> Grader:
    """Return the grader of a name, or the one that was given.

    Raises `InvalidRequestError` for a name that no grader has.
    """
    if not isinstance(wanted, str):
        if not (callable(getattr(wanted, "check", None)) and callable(getattr(wanted, "grade", 0))):
            raise InvalidRequestError(
                "grader: expected a name, or an object with check(expected) and "
                f"grade(output, expected), got {wanted!r}."
            )
        return wanted
    if wanted not in _GRADERS:
        raise InvalidRequestError(
            f"grader: expected one of {', '.join(get_args(GraderName))}, got {wanted!r}."
        )
    return _GRADERS[wanted]


def grade(result: BatchResult, grader: Grader, expected: Any) -> Grade:
    """Return the grade of one row; a request without a reply, or a refusal, has failed."""
    if not result.succeeded:
        return failed(result.error or result.status)
    if result.refused:
        return failed("the model refused to answer")
    return _graded(grader.grade(result.output, expected), grader)


def _graded(found: Grade | float, grader: Grader) -> Grade:
    if isinstance(found, Grade):
        return found
    if isinstance(found, int | float) and 0 <= found <= 1:
        return Grade(float(found), passed=found == 1)
    raise InvalidRequestError(
        f"grader: {type(grader).__name__}.grade returned {found!r}; expected a Grade, or a number "
        "from 0.0 to 1.0. Mend it and retry the run: the replies are collected, not paid for again."
    )


def _place(at: str, key: object = None) -> str:
    if key is None:
        return at or "the reply"
    return f"{at}.{key}" if at else str(key)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _json(value: Any) -> str:
    text = exact_json.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _refuse(rule: str) -> NoReturn:
    raise InvalidRequestError(f"expected: {rule}.", field="expected")
