"""What makes requests of rows, whatever the rows are: what recipes have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from meshflow_prefect import exact_json
from meshflow_prefect.bulk.plan import Marks
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.models import BatchRequest

_NAME = "row"
"""What a request is called while it is checked; the error's own words name the row."""


class Made(NamedTuple):
    """The request of one row."""

    row_id: str | None
    """What the row is called in the output; None: its number."""
    custom_id: str | None
    """What the request must be called at Anthropic; None: what the job calls it."""
    params: bytes
    """The request's parameters, as JSON."""
    model: str
    max_tokens: int
    marks: Marks


class AnyRecipe(Protocol):
    """What makes a request of each row: a `Recipe`, or one for rows of another kind."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that decides what is made of a row, as JSON values."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every row must have."""

    def make(self, values: Mapping[str, Any]) -> Made:
        """Return the request of a row; raise `InvalidRequestError` with what is wrong in words."""

    def name_of(self, values: Mapping[str, Any]) -> str | None:
        """Return what a row is called in the output, also one that is no request; None: number."""


def request_of(**fields: Any) -> BatchRequest:
    """Check the fields of a request; the error does not name it: the caller knows which it is."""
    try:
        return BatchRequest(_NAME, **fields)
    except InvalidRequestError as error:
        said = error.message.removeprefix(f"Request {_NAME!r}: ").removesuffix(".")
        raise InvalidRequestError(said, **error.details) from None


def dumped(value: Any) -> bytes:
    """Return a value as JSON; raise `InvalidRequestError` for what JSON has no form for."""
    try:
        return exact_json.dumps(value)
    except TypeError as error:
        raise InvalidRequestError(f"cannot be written as JSON: {error}") from None
