"""One page of a list, as cursors ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshflow_prefect.emulator.batches import Batch
from meshflow_prefect.emulator.wire import ApiError

_DEFAULT_LIMIT = 20
_LARGEST_LIMIT = 1000


@dataclass(frozen=True)
class Page:
    """Some batches, and whether there are more in the direction that was asked for."""

    batches: Sequence[Batch]
    has_more: bool


def page_of(batches: Sequence[Batch], query: Mapping[str, str]) -> Page:
    """Return the page of `batches` that `limit`, `after_id` and `before_id` choose."""
    limit = _limit(query.get("limit"))
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise ApiError("invalid_request_error", "after_id: cannot be used together with before_id")
    if before:
        end = _position(batches, before, "before_id")
        return Page(batches[max(0, end - limit) : end], end > limit)
    start = _position(batches, after, "after_id") + 1 if after else 0
    return Page(batches[start : start + limit], len(batches) > start + limit)


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    try:
        limit = int(text)
    except ValueError:
        raise ApiError(
            "invalid_request_error",
            "limit: Input should be a valid integer, unable to parse string as an integer",
        ) from None
    if limit < 1:
        raise ApiError("invalid_request_error", "limit: Input should be greater than or equal to 1")
    if limit > _LARGEST_LIMIT:
        raise ApiError(
            "invalid_request_error",
            f"limit: Input should be less than or equal to {_LARGEST_LIMIT}",
        )
    return limit


def _position(batches: Sequence[Batch], cursor: str, name: str) -> int:
    for at, batch in enumerate(batches):
        if batch.id == cursor:
            return at
    raise ApiError("invalid_request_error", f"{name}: Message Batch {cursor} not found.")
