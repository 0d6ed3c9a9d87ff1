"""Signs of life of a process that waits for the answer to a create call.

Another execution of the same run (a successor, or a Retry that someone pressed too soon) finds the
intent and no batch. It must not take a call that is under way for a lost one: while the sender's
beats go on it waits, and only when they have stopped does it look for the batch itself. Silence
proves nothing, since a process may be frozen, or cut off from Prefect alone: to send again is
right when the sender has certainly ended, or has given its call up by its own clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import httpx
from prefect.exceptions import PrefectException

from meshflow_prefect.ledger import Entry, Ledger
from meshflow_prefect.processes import has_ended

BEAT_SECONDS = 5.0
"""Each takes two calls of the Prefect API."""
SILENT_SECONDS = 20.0
"""A sender that shows no sign of life for this long may be gone."""

SKEW = timedelta(seconds=60)
"""By how much the clocks of two machines may differ."""

_UNREACHED = (httpx.HTTPError, PrefectException)

_endings: set[asyncio.Task[None]] = set()
"""Held here while they run: the event loop holds no task by itself."""


@asynccontextmanager
async def beating(ledger: Ledger, entry: Entry) -> AsyncIterator[None]:
    """Show that this process is alive, in the ledger, while the block runs."""
    last, began = entry.beat, time.monotonic()

    async def beat() -> None:
        nonlocal last
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            # A beat that is lost must not end the call that it stands for.
            with suppress(*_UNREACHED):
                await ledger.beat(entry, last + 1)
                last += 1

    beats = asyncio.create_task(beat())
    try:
        yield
    except BaseException:
        # A task of its own: where this coroutine was cancelled, nothing in it can be awaited.
        ending = asyncio.create_task(_end_call(ledger, entry, time.monotonic() - began))
        _endings.add(ending)
        ending.add_done_callback(_endings.discard)
        await asyncio.shield(ending)
        raise
    finally:
        beats.cancel()
        await asyncio.wait([beats])
        if last > entry.beat:
            with suppress(*_UNREACHED):
                await ledger.end_beat(entry, last)


async def _end_call(ledger: Ledger, entry: Entry, seconds: float) -> None:
    with suppress(*_UNREACHED):
        await ledger.end_call(entry, seconds)


def is_over(entry: Entry) -> bool:
    """Whether the create call of an entry is certainly not under way any more."""
    return entry.call_ended or entry.submit_anew or has_ended(entry.right.process)


def call_seconds(entry: Entry) -> float:
    """Return how long the create call of an entry took, as far as its sender has shown."""
    return entry.call_seconds if entry.call_ended else BEAT_SECONDS * (entry.beat + 1)


def may_go_on_until(entry: Entry) -> datetime:
    """Return until when a sender that is silent may have a create call under way."""
    return entry.right.ends_at + SKEW


async def sender_is_done(ledger: Ledger, entry: Entry) -> Entry | None:
    """Wait until the sender of `entry` has recorded a batch, withdrawn, ended, or fallen silent.

    Returns the entry as it is then; None when it was withdrawn. The time is this machine's own:
    it is the change of the beats that is watched, not what a clock elsewhere says.
    """
    watched_since = time.monotonic()
    while True:
        # Asked before the ledger is read: what a sender has recorded before its end is there then.
        over = is_over(entry)
        now = await ledger.entry(entry.number)
        if now is None or now.batch_id or (over and now.right == entry.right):
            return now
        if (now.right, now.beat) != (entry.right, entry.beat):
            entry, watched_since = now, time.monotonic()
        elif time.monotonic() - watched_since >= SILENT_SECONDS:
            return now
        await asyncio.sleep(1.0)
