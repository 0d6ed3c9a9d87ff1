"""Which requests are worth another batch, and one result for each out of several attempts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from meshflow_prefect.models import INVALID_OUTPUT, BatchResult
from meshflow_prefect.pricing import exact

PASSING_ERRORS = frozenset(
    {"api_error", "overloaded_error", "rate_limit_error", "timeout_error"},
)
"""Kinds of error that say nothing about the request: Anthropic could not do it at the time."""


def worth_another_try(result: BatchResult) -> bool:
    """Whether the same request may succeed in another batch.

    That is a request which met a passing error, or was not reached before its batch expired: it has
    certainly not been billed. It is also one whose reply is not of the output type: that was
    billed, but the next reply may be another. An invalid request, an unknown model or a refusal
    would end the same way; a missing row may have been billed; a cancelled one was not wanted any
    more.
    """
    if result.status == "errored":
        if result.error_type == INVALID_OUTPUT:
            return not result.refused
        return result.error_type in PASSING_ERRORS
    return result.status == "expired"


def merge(results: Sequence[BatchResult], again: Iterable[BatchResult]) -> list[BatchResult]:
    """Return `results` in their order, with those that were tried again replaced by the new ones.

    Each keeps count of the attempts, and its tokens and its cost are those of all of them. Rows of
    `again` for requests that are not in `results` are left out.
    """
    newer = {result.custom_id: result for result in again}
    return [after(old, newer[old.custom_id]) if old.custom_id in newer else old for old in results]


def after(old: BatchResult, new: BatchResult) -> BatchResult:
    """Return the result of one more attempt, with the tokens and the cost of all."""
    return replace(
        new,
        attempts=old.attempts + 1,
        tokens=old.tokens + new.tokens,
        cost_usd=_sum(old.cost_usd, new.cost_usd),
        earlier_usage=old.billed_usage,
    )


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return None
    return float(exact(one) + exact(other))
