"""Which requests are worth another batch, and one result for each out of several attempts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from meshflow_prefect.models import BatchResult

PASSING_ERRORS = frozenset(
    {"api_error", "overloaded_error", "rate_limit_error", "timeout_error"},
)
"""Kinds of error that say nothing about the request: Anthropic could not do it at the time."""


def worth_another_try(result: BatchResult) -> bool:
    """Whether the same request may succeed in another batch, and has certainly not been billed.

    That is a request which met a passing error, or was not reached before its batch expired. An
    invalid request, an unknown model or a refusal would end the same way; a missing row may have
    been billed; a cancelled one was not wanted any more.
    """
    if result.status == "errored":
        return result.error_type in PASSING_ERRORS
    return result.status == "expired"


def merge(results: Sequence[BatchResult], again: Iterable[BatchResult]) -> list[BatchResult]:
    """Return `results` in their order, with those that were tried again replaced by the new ones.

    Each keeps count of the attempts. Rows of `again` for requests that are not in `results` are
    left out.
    """
    newer = {result.custom_id: result for result in again}
    return [
        replace(newer[old.custom_id], attempts=old.attempts + 1) if old.custom_id in newer else old
        for old in results
    ]
