"""The create call of one submission: sent once, and its batch found where the answer was lost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from meshflow_prefect.activity import busy
from meshflow_prefect.errors import (
    BatchNotFoundError,
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    SubmissionRefusedError,
    SubmissionUnknownError,
)
from meshflow_prefect.heartbeat import (
    SILENT_SECONDS,
    beating,
    call_seconds,
    is_over,
    may_go_on_until,
    sender_is_done,
)
from meshflow_prefect.ledger import Entry, Ledger
from meshflow_prefect.recovery import SETTLE_SECONDS, find_lost_batch, settling
from meshflow_prefect.refusals import time_to_try_again
from meshflow_prefect.resting import Resting

if TYPE_CHECKING:
    from meshflow_prefect.chunking import Chunk
    from meshflow_prefect.client import AnthropicBatchClient

_OVERLOADED = 529

_SHORT = timedelta(minutes=1)
"""A refused create call is waited for in the process for this long; a longer wait suspends."""

_LAST_LOOKS = 5.0
"""For how many seconds the list is still looked at after a sender has fallen silent."""

_RECORD_PAUSES = (2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 60.0, 60.0, 60.0)
"""Seconds between the tries to record a batch that is paid for: some five minutes, beside those
that Prefect's own client takes."""

_MOST_SENDS = 3
"""How often a create call is sent in one attempt, where each time certainly nothing was accepted
and no answer came: by then it is not a passing fault."""


@dataclass(frozen=True)
class Sender:
    """Brings an entry of the ledger to its batch."""

    chunk: Chunk
    anthropic: AnthropicBatchClient
    ledger: Ledger
    rest: Resting
    if_unknown: str
    """`stop`, `submit`, or the id of a batch: see `submit_batch`."""

    @property
    def seconds(self) -> float:
        """For how long a create call may take."""
        return self.anthropic.create_seconds(self.chunk)

    async def made(self, entry: Entry, *, is_mine: bool) -> Entry | None:
        """Return the entry with its batch; None when someone else has withdrawn it.

        Sends the create call where this execution has the right to, and certainly nothing was
        accepted before; looks for the batch where an answer was lost.
        """
        from prefect.logging import get_run_logger

        sends = 0
        while True:
            settle_seconds = SETTLE_SECONDS
            if is_mine:
                sent_at = time.monotonic()
                try:
                    return await self._send(entry)
                except (CredentialsError, SubmissionRefusedError) as refusal:
                    wake = self._time_to_try_again(refusal, entry)
                    if wake is None:
                        if await self.ledger.withdraw(entry):
                            raise
                        is_mine = False
                        continue
                    refused_at = time.monotonic()
                    entry = await self._rest_after(refusal, entry, wake)
                    settle_seconds -= time.monotonic() - refused_at
                except SubmissionUnknownError as lost:
                    get_run_logger().warning("%s", lost)
                    answer_lost = lost
                    took, given_up = time.monotonic() - sent_at, lost.details.get("given_up", False)
                    settle_seconds = settling(took, given_up=given_up)
                    sends += 1
            else:
                with busy():
                    seen = await sender_is_done(self.ledger, entry)
                if seen is None or seen.batch_id:
                    return seen
                entry = seen
                settle_seconds = settling(call_seconds(entry))
                if not is_over(entry):
                    # Its call has had time to settle while the sender's silence was watched.
                    settle_seconds = max(_LAST_LOOKS, settle_seconds - SILENT_SECONDS)
            batch_id = await self._look_for(entry, settle_seconds)
            if batch_id is not None:
                return await self.ledger.record_batch(entry, batch_id)
            if sends == _MOST_SENDS and await self.ledger.withdraw(entry):
                raise SubmissionRefusedError(
                    f"No batch was made: the answers to {sends} create calls were lost, and the "
                    "list of batches shows none of them. What came in place of the last one: "
                    f"{answer_lost.details.get('reason', 'nothing')}.",
                    **answer_lost.details,
                )
            if not (is_mine or is_over(entry) or datetime.now(UTC) >= may_go_on_until(entry)):
                await self._outwait(entry)
                continue
            again = await self.ledger.claim_resend(entry, seconds=self.seconds)
            if again is not None:
                # What another execution has recorded meanwhile was no candidate here.
                now = await self.ledger.entry(entry.number)
                if now is None or now.batch_id:
                    return now
            if again is not None and entry.work.digest != self.chunk.digest:
                # Nothing was ever accepted, and a redeploy has changed the requests since.
                await self.ledger.withdraw(again)
                return None
            if again is not None and not entry.submit_anew:
                get_run_logger().warning(
                    "The list shows no batch of the create call at %s: nothing was accepted, and "
                    "it is sent again.",
                    entry.intended_at,
                )
            # None: another execution sends again. Wait for it as for any other sender.
            entry, is_mine = (entry, False) if again is None else (again, True)

    async def _send(self, entry: Entry) -> Entry:
        """Send the create call once, and return the entry with its batch."""
        with busy():
            async with beating(self.ledger, entry):
                batch_id = await self.anthropic.create(self.chunk, until=entry.right.ends_at)
                # The batch is paid for. A cancellation of this coroutine must not come between
                # the answer and its record.
                return await asyncio.shield(self._recorded(entry, batch_id))

    async def _recorded(self, entry: Entry, batch_id: str) -> Entry:
        """Record a batch, also where Prefect cannot be asked for some minutes."""
        from prefect.logging import get_run_logger

        for pause in _RECORD_PAUSES:
            try:
                return await self.ledger.record_batch(entry, batch_id)
            except httpx.HTTPStatusError as error:
                code = error.response.status_code
                if code < HTTPStatus.INTERNAL_SERVER_ERROR and code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
                why = str(error)
            except httpx.HTTPError as error:
                why = str(error) or type(error).__name__
            get_run_logger().warning(
                "Batch %s was made, and cannot be recorded yet, as Prefect cannot be asked: %s. "
                "Trying again in %g seconds.",
                batch_id,
                why,
                pause,
            )
            await asyncio.sleep(pause)
        return await self.ledger.record_batch(entry, batch_id)

    def _time_to_try_again(self, refusal: MeshflowError, entry: Entry) -> datetime | None:
        """Return when to send again; None when the refusal is for good."""
        if not isinstance(refusal, SubmissionRefusedError):
            return None
        now, suspends = datetime.now(UTC), self.rest.suspends
        try:
            return time_to_try_again(refusal, since=entry.submitted_at, suspends=suspends, now=now)
        except SubmissionRefusedError:
            return None

    async def _rest_after(self, refusal: MeshflowError, entry: Entry, wake: datetime) -> Entry:
        """Wait as long as the refusal asks.

        The entry comes back with the note that nothing need be looked for, which a process that
        comes after a suspension finds too. Only an overloaded API is looked into once more.
        """
        if refusal.details["status_code"] != _OVERLOADED:
            await self.ledger.decide_to_submit_anew(entry)
            entry = replace(entry, submit_anew=True)
        if wake - datetime.now(UTC) > _SHORT:
            await self.rest.until(wake, str(refusal))
        else:
            await self.rest.here_until(wake, str(refusal))
        return entry

    async def _outwait(self, entry: Entry) -> None:
        """Wait for a create call to be over that may be under way in a process that is silent."""
        now, over = datetime.now(UTC), may_go_on_until(entry)
        why = f"a create call may be under way until {over:%H:%M:%S %Z} in a process that is silent"
        if self.rest.suspends and over - now > _SHORT:
            await self.rest.until(over, why)
        else:
            await self.rest.here_until(min(over, now + _SHORT), why)

    async def _look_for(self, entry: Entry, settle_seconds: float) -> str | None:
        """Return the batch of a lost answer; None when the create call is to be sent again."""
        if entry.submit_anew:
            return None
        try:
            return await find_lost_batch(
                entry,
                self.chunk.custom_ids,
                anthropic=self.anthropic,
                prefect=self.rest.prefect,
                rest=self.rest.until,
                settle_seconds=settle_seconds,
                run_id=str(self.ledger.root_id),
            )
        except SubmissionUnknownError:
            if self.if_unknown == "stop":
                raise
            return None if self.if_unknown == "submit" else await self._adopted(entry)

    async def _adopted(self, entry: Entry) -> str:
        batch_id = self.if_unknown
        for other in await self.ledger.entries():
            if other.batch_id == batch_id and other.number == entry.number:
                return batch_id  # another execution was first
            if other.batch_id == batch_id:
                raise InvalidRequestError(
                    f"if_unknown: batch {batch_id!r} is that of submission {other.number} of this "
                    f"run, and the answer to submission {entry.number} is lost as well. Take one "
                    "for each: `meshflow-prefect adopt RUN BATCH --number NUMBER`."
                )
        job = await self.anthropic.status(batch_id)
        if not job.may_hold(entry.work.requests):
            raise BatchNotFoundError(
                f"if_unknown: batch {batch_id!r} has {job.total:,} requests, and the submission "
                f"{entry.work.requests:,}: it is not the one that was lost.",
                batch_id=batch_id,
            )
        return batch_id
