"""A create call that was refused for now: when to send it again, and when to give up."""

from __future__ import annotations

from datetime import datetime, timedelta

from meshflow_prefect.errors import RateLimitedError, SubmissionRefusedError

LONGEST_SECONDS = 3600.0
"""The most that a `retry-after` is believed."""

_SHORTEST = 1.0

_FIRST_PAUSE, _LAST_PAUSE = timedelta(seconds=2), timedelta(minutes=15)
_PAUSE_FRACTION = 0.25
_WORTH_LEAVING = timedelta(minutes=1)

_OUTAGE = timedelta(hours=24)
_OUTAGE_IN_PROCESS = timedelta(minutes=2)
_CUT_OFF = timedelta(minutes=15)


def time_to_try_again(
    refusal: SubmissionRefusedError, *, since: datetime, suspends: bool, now: datetime
) -> datetime:
    """Return when to send a refused create call again; raises `refusal` when that is never.

    `since` is when it was sent first. A 429 or 529 is waited out for as long as Anthropic says, at
    most an hour at a time. Where nobody was reached, a run that can be suspended tries for 24
    hours, and one that waits in its process for two minutes, since there someone may have mistyped
    the address. Where the call was cut off amid its body, a run tries for no more than 15 minutes:
    something on the way may not take as much. The pauses grow with the time already spent. Every
    other refusal is for good.
    """
    for_now = isinstance(refusal, RateLimitedError)
    unreached = refusal.details.get("status_code", 0) is None
    outage = _CUT_OFF if "sent_bytes" in refusal.details else _OUTAGE
    given_up = now - since > (outage if suspends else _OUTAGE_IN_PROCESS)
    if not for_now and (not unreached or given_up):
        raise refusal
    growing = min((now - since) * _PAUSE_FRACTION, _LAST_PAUSE)
    told = refusal.details.get("retry_after")
    if told is None:
        return now + max(_FIRST_PAUSE, growing)
    asked_for = timedelta(seconds=max(_SHORTEST, min(told, LONGEST_SECONDS)))
    # Told "in some seconds" for hours, a run that can be suspended need not be there all the time;
    # and told "at once", none need send its whole body each second.
    is_grown = suspends and growing > _WORTH_LEAVING
    return now + (max(asked_for, growing) if is_grown or told < _SHORTEST else asked_for)
