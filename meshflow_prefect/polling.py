"""When to look at a batch again, and the loop that looks until it has ended. No Prefect here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchWaitTimeoutError,
    InvalidRequestError,
)
from meshflow_prefect.models import RESULTS_KEPT, BatchJob

Found: TypeAlias = BatchJob | ApiUnavailableError
"""What one look gave: the batch as it is, or that Anthropic could not be asked."""

Rest: TypeAlias = Callable[[datetime, str], Awaitable[None]]
"""Waits until a time; told why, for people."""

_LONGEST_SECONDS = RESULTS_KEPT.total_seconds()
_LARGEST_FRACTION = 10.0

BLIND_SECONDS = 600.0
"""The longest time between two looks while Anthropic cannot be asked."""


def next_check(
    found: Found,
    *,
    since: datetime,
    poll_interval: float,
    wait_fraction: float,
    now: datetime | None = None,
) -> datetime:
    """Return when to look again: after `wait_fraction` of the time waited `since`.

    Never sooner than `poll_interval` seconds from now, and never later than the batch's expiry,
    when it ends by itself. A fraction of 0.25 is at most 25 % late, in about 35 checks a day.
    """
    now = now or datetime.now(UTC)
    soonest = now + timedelta(seconds=poll_interval)
    proportional = now + (now - since) * wait_fraction
    if isinstance(found, BatchJob):
        # A gateway may leave the expiry out.
        return max(soonest, min(proportional, found.expires_at or proportional))
    # Nothing was learnt: one lost answer late in a wait must not cost hours.
    return max(soonest, min(proportional, now + timedelta(seconds=BLIND_SECONDS)))


async def poll_until_ended(
    look: Callable[[], Awaitable[BatchJob]],
    *,
    rest: Rest,
    next_look: Callable[[Found], datetime],
    deadline: Callable[[Found], datetime | None],
) -> BatchJob:
    """Look until the batch has ended, and return it; `rest` between two looks.

    Faults that pass (`ApiUnavailableError`) do not end the wait. When a look finds the batch not
    ended after `deadline`, raises `BatchWaitTimeoutError`, without cancelling anything.
    """
    while True:
        found: Found
        try:
            found = await look()
        except ApiUnavailableError as error:
            found = error
        if isinstance(found, BatchJob) and found.is_complete:
            return found
        wake, ends = next_look(found), deadline(found)
        if ends is not None:
            if datetime.now(UTC) >= ends:
                raise _timed_out(found, ends)
            wake = min(wake, ends)
        await rest(wake, describe(found))


def check_schedule(
    poll_interval: float, wait_fraction: float = 0.0, timeout: float | None = None
) -> None:
    """Raise `InvalidRequestError` for times that cannot be waited for."""
    if not 0 < poll_interval <= _LONGEST_SECONDS:
        raise InvalidRequestError(
            f"poll_interval: must be more than 0 seconds, and at most {_LONGEST_SECONDS:,.0f} "
            f"(29 days), got {poll_interval!r}."
        )
    if not 0 <= wait_fraction <= _LARGEST_FRACTION:
        raise InvalidRequestError(
            f"wait_fraction: must be from 0 to {_LARGEST_FRACTION:g}, got {wait_fraction!r}."
        )
    if timeout is not None and not 0 < timeout <= _LONGEST_SECONDS:
        raise InvalidRequestError(
            f"timeout: must be more than 0 seconds, and at most {_LONGEST_SECONDS:,.0f} (29 days), "
            f"got {timeout!r}. None waits until the batch has ended."
        )


def describe(found: Found) -> str:
    """Return what a look gave, in words."""
    if isinstance(found, ApiUnavailableError):
        return f"could not ask: {str(found).rstrip('.')}"
    noun = "request" if found.total == 1 else "requests"
    return f"{found.batch_id} is {found.status.replace('_', ' ')} ({found.total:,} {noun})"


def _timed_out(found: Found, ends: datetime) -> BatchWaitTimeoutError:
    if isinstance(found, ApiUnavailableError):
        return BatchWaitTimeoutError(f"No answer by {ends:%F %T %Z}: {found}", **found.details)
    return BatchWaitTimeoutError(
        f"Batch {found.batch_id!r} is still {found.status.replace('_', ' ')} at {ends:%F %T %Z}, "
        f"{ends - found.created_at} after its creation, when the timeout passed. It was not "
        "cancelled: it ends by itself within 24 hours. Retry the run, or wait again, to collect "
        "it; `cancel` stops it.",
        batch_id=found.batch_id,
        status=found.status,
        request_counts=dict(found.request_counts),
    )
