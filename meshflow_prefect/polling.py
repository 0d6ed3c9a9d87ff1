"""When to look at a batch again, and the loop that looks until it has ended. No Prefect here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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

Look: TypeAlias = Callable[[], Awaitable[BatchJob]]
"""Asks for a batch as it is now; raises `ApiUnavailableError` where asking later may work."""

Rest: TypeAlias = Callable[[datetime, str], Awaitable[None]]
"""Waits until a time; told why, for people."""

_LONGEST_SECONDS = RESULTS_KEPT.total_seconds()
_LARGEST_FRACTION = 10.0

AWAY = "could not ask"
"""How the words begin for a look at which Anthropic did not answer."""

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
    looks: Sequence[Look],
    *,
    rest: Rest,
    next_look: Callable[[Found], datetime],
    deadline: Callable[[Found], datetime | None],
) -> list[BatchJob]:
    """Look at batches until one has ended at least, and return those; `rest` between two rounds.

    Faults that pass (`ApiUnavailableError`) do not end the wait. When a look finds a batch not
    ended after its `deadline`, raises `BatchWaitTimeoutError`, without cancelling anything.
    """
    while True:
        found = [await _found(look) for look in looks]
        if ended := [each for each in found if isinstance(each, BatchJob) and each.is_complete]:
            return ended
        wakes = []
        for each in found:
            wake, ends = next_look(each), deadline(each)
            if ends is not None and datetime.now(UTC) >= ends:
                raise _timed_out(each, ends)
            wakes.append(wake if ends is None else min(wake, ends))
        await rest(min(wakes), describe(*found))


async def _found(look: Look) -> Found:
    try:
        return await look()
    except ApiUnavailableError as error:
        return error


def check_schedule(
    poll_interval: float, wait_fraction: float = 0.0, timeout: float | None = None
) -> None:
    """Raise `InvalidRequestError` for times that cannot be waited for."""
    given = {"poll_interval": poll_interval, "wait_fraction": wait_fraction, "timeout": timeout}
    for name, value in given.items():
        if not isinstance(value, int | float) and (value is not None or name != "timeout"):
            raise InvalidRequestError(f"{name}: must be a number, got {value!r}.")
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


def describe(*found: Found) -> str:
    """Return what a look at batches gave, in words."""
    for each in found:
        if isinstance(each, ApiUnavailableError):
            return f"{AWAY}: {str(each).rstrip('.')}"
    jobs = [each for each in found if isinstance(each, BatchJob)]
    requests = sum(job.total for job in jobs)
    noun = "request" if requests == 1 else "requests"
    what = f"{jobs[0].batch_id} is" if len(jobs) == 1 else f"{len(jobs)} batches are"
    status = jobs[0].status.replace("_", " ") if len(jobs) == 1 else "in progress"
    return f"{what} {status} ({requests:,} {noun})"


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
