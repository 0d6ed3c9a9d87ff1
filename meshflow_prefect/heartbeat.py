"""Signs of life of a process that waits for the answer to a create call.

Another execution of the same run (a successor, or a Retry that someone pressed too soon) finds the
intent and no batch. It must not take a call that is under way for a lost one: while the sender's
beats go on it waits, and only when they have stopped does it look for the batch itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
from prefect.exceptions import PrefectException

from meshflow_prefect.ledger import Entry, Ledger

BEAT_SECONDS = 3.0
SILENT_SECONDS = 20.0
"""A sender that shows no sign of life for this long is gone."""

_UNREACHED = (httpx.HTTPError, PrefectException)


@asynccontextmanager
async def beating(ledger: Ledger, entry: Entry) -> AsyncIterator[None]:
    """Show that this process is alive, in the ledger, while the block runs."""
    last = entry.beat

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
    finally:
        beats.cancel()
        await asyncio.wait([beats])
        if last > entry.beat:
            with suppress(*_UNREACHED):
                await ledger.end_beat(entry, last)


async def sender_is_done(ledger: Ledger, entry: Entry) -> Entry | None:
    """Wait until the sender of `entry` has recorded a batch, withdrawn, or fallen silent.

    Returns the entry as it is then; None when it was withdrawn. The time is this machine's own:
    it is the change of the beats that is watched, not what a clock elsewhere says.
    """
    watched_since = time.monotonic()
    while True:
        now = await ledger.entry(entry.number)
        if now is None or now.batch_id:
            return now
        if (now.owner, now.beat) != (entry.owner, entry.beat):
            entry, watched_since = now, time.monotonic()
        elif time.monotonic() - watched_since >= SILENT_SECONDS:
            return now
        await asyncio.sleep(1.0)
