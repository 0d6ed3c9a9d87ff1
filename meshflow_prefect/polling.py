"""When to ask for a batch again, and the wait that sleeps in its own process. No Prefect here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchWaitTimeoutError,
    InvalidRequestError,
)
from meshflow_prefect.models import BatchJob

Watch = Callable[[BatchJob | ApiUnavailableError, datetime], None]
"""Called after each check with what was found and the time of the next one."""


def next_check(
    job: BatchJob, *, poll_interval: float, wait_fraction: float, now: datetime | None = None
) -> datetime:
    """Return when to ask again: after `wait_fraction` of the time already waited.

    Never sooner than `poll_interval` seconds from now, and never later than the batch's expiry,
    when it ends by itself. A fraction of 0.25 is at most 25 % late, in about 35 checks a day.
    """
    now = now or datetime.now(UTC)
    soonest = now + timedelta(seconds=poll_interval)
    proportional = now + (now - job.created_at) * wait_fraction
    return max(soonest, min(proportional, job.expires_at))


async def poll_until_ended(
    check: Callable[[], Awaitable[BatchJob]],
    *,
    poll_interval: float,
    timeout: float | None,
    watch: Watch = lambda _found, _next: None,
) -> BatchJob:
    """Ask every `poll_interval` seconds until the batch has ended, and return it.

    Passing faults do not end the wait. After `timeout` seconds raises `BatchWaitTimeoutError`,
    without cancelling anything.
    """
    check_schedule(poll_interval)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        found: BatchJob | ApiUnavailableError
        try:
            found = await check()
        except ApiUnavailableError as error:
            found = error
        if isinstance(found, BatchJob) and found.is_complete:
            return found
        pause = poll_interval
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _timed_out(found, timeout)
            pause = min(pause, left)
        watch(found, datetime.now(UTC) + timedelta(seconds=pause))
        await asyncio.sleep(pause)


def check_schedule(poll_interval: float, wait_fraction: float = 0.0) -> None:
    """Raise `InvalidRequestError` for an interval of no time, or a negative fraction."""
    if not poll_interval > 0:
        raise InvalidRequestError(
            f"poll_interval: must be more than 0 seconds, got {poll_interval!r}."
        )
    if not wait_fraction >= 0:
        raise InvalidRequestError(f"wait_fraction: must not be negative, got {wait_fraction!r}.")


def _timed_out(
    found: BatchJob | ApiUnavailableError, timeout: float | None
) -> BatchWaitTimeoutError:
    if isinstance(found, ApiUnavailableError):
        return BatchWaitTimeoutError(f"No answer within {timeout:g} s: {found}", **found.details)
    return BatchWaitTimeoutError(
        f"Batch {found.batch_id!r} is still {found.status.replace('_', ' ')} after {timeout:g} s. "
        "It was not cancelled: wait again, or `cancel` it.",
        batch_id=found.batch_id,
    )
