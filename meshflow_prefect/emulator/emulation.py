"""Everything an emulator is, apart from HTTP: batches, time, the prompt cache, calls, faults."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from meshflow_prefect.emulator.batches import Batch
from meshflow_prefect.emulator.calls import CallLog
from meshflow_prefect.emulator.clock import Clock
from meshflow_prefect.emulator.damage import Damage
from meshflow_prefect.emulator.faults import FaultPlan
from meshflow_prefect.emulator.intake import Intake
from meshflow_prefect.emulator.rows import result_lines
from meshflow_prefect.emulator.settings import EmulatorSettings
from meshflow_prefect.emulator.store import Store
from meshflow_prefect.emulator.tokens import CachedTokens, PromptCache
from meshflow_prefect.emulator.usage import Spend
from meshflow_prefect.emulator.validation import Rules
from meshflow_prefect.emulator.waiting import Waiting
from meshflow_prefect.emulator.wire import ApiError, new_id

_QUEUE_RETRY_SECONDS = 60


class Emulation:
    """One running emulator. Its methods raise `ApiError` for what the API refuses."""

    def __init__(self, settings: EmulatorSettings, store: Store) -> None:
        self.settings = settings
        self.calls = CallLog()
        self.faults = FaultPlan()
        self.waiting = Waiting()
        self._store = store
        self._cache = PromptCache(
            minimum_tokens=settings.minimum_cached_tokens, concurrent=settings.concurrent_requests
        )
        self._spend: dict[str, Spend] = {}
        self.clock = Clock(speed=self._speed, anchor=store.read_anchor())
        store.keep_anchor(self.clock.anchor)

    @property
    def _speed(self) -> float:
        return 0.0 if self.settings.clock == "stepped" else self.settings.speed

    async def create(
        self,
        body: AsyncIterator[bytes],
        *,
        workspace: str,
        version: str,
        betas: list[str],
    ) -> Batch:
        """Take a batch in. It is kept when the last byte of it is on disk and in order."""
        settings = self.settings
        cache = self._cache.session(
            workspace=workspace, now=self.clock.now(), delay=settings.batch_seconds
        )
        outcomes = self.faults.outcomes()
        batch_id = new_id("msgbatch_")
        intake = Intake(
            self._store.place_for(batch_id),
            rules=Rules(version, frozenset(betas), settings.extra_models),
            cache=cache,
            outcomes=outcomes,
            maximum_requests=settings.maximum_requests,
            maximum_bytes=settings.maximum_bytes,
        )
        try:
            await intake.receive(body)
            self._check_queue(intake.size)
            await intake.write_index()
            batch = Batch(
                id=batch_id,
                sequence=self._store.next_sequence(),
                workspace=workspace,
                version=version,
                betas=betas,
                created_at=self.clock.now(),
                batch_seconds=settings.batch_seconds,
                cancel_seconds=settings.cancel_seconds,
                size=intake.size,
                errored_ranks=intake.errored_ranks,
                planned=[] if outcomes is None else outcomes.planned(),
            )
            self._store.add(batch)
            if outcomes is not None:
                outcomes.keep()
        finally:
            # Both have nothing left to do for a batch that was accepted.
            self._store.discard(batch_id)
            if outcomes is not None:
                outcomes.give_back()
        cache.commit()
        return batch

    def find(self, batch_id: str, *, workspace: str | None = None) -> Batch:
        """Return a batch of a workspace; without a workspace, any batch."""
        batch = self._store.get(batch_id)
        if batch is None or workspace not in (None, batch.workspace):
            raise ApiError("not_found_error", f"Message Batch {batch_id} not found.")
        return batch

    def newest_first(self, *, workspace: str | None = None) -> list[Batch]:
        """Return the batches of a workspace; without a workspace, every batch."""
        return [
            batch for batch in self._store.newest_first() if workspace in (None, batch.workspace)
        ]

    def cancel(self, batch: Batch) -> None:
        """Begin to cancel. Cancelling twice is one cancellation."""
        now = self.clock.now()
        if batch.status(now) == "ended":
            raise ApiError(
                "invalid_request_error",
                f"Message Batch {batch.id} cannot be canceled because it has already ended.",
            )
        if batch.cancel_initiated_at is None:
            batch.cancel_initiated_at = now
            self._store.save(batch)

    def delete(self, batch: Batch) -> None:
        """Delete a batch that has ended."""
        if batch.status(self.clock.now()) != "ended":
            raise ApiError(
                "invalid_request_error",
                f"Message Batch {batch.id} cannot be deleted while it is in progress. "
                "Cancel it first.",
            )
        self._store.delete(batch.id)
        self._spend.pop(batch.id, None)

    def results(self, batch: Batch) -> AsyncIterator[bytes]:
        """Return the results of a batch that has ended and is not archived."""
        now = self.clock.now()
        if batch.status(now) != "ended" or batch.is_archived(now):
            raise ApiError("not_found_error", f"Message Batch {batch.id} has no available results.")
        return self._lines(batch, damage=self.faults.damage(batch.id))

    def end(self, batch: Batch) -> None:
        """End a batch now, with every row answered that a cancellation has not stopped."""
        now = self.clock.now()
        if batch.status(now) != "ended":
            batch.ended_by_hand_at = now
            self._store.save(batch)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.clock.advance(seconds)
        self._store.keep_anchor(self.clock.anchor)

    def reset(self) -> None:
        """Become as new: no batches, no calls, no faults, an empty prompt cache, the real time."""
        self._store.clear()
        self._cache.clear()
        self._spend.clear()
        self.calls.clear()
        self.faults.clear()
        self.waiting.abandon()
        self.clock = Clock(speed=self._speed)
        self._store.keep_anchor(self.clock.anchor)

    async def spend(self) -> Spend:
        """Return what the ended batches bill, whether or not anyone read their results."""
        total = Spend()
        for batch in self.newest_first():
            if batch.status(self.clock.now()) == "ended":
                total.merge([await self._spend_of(batch)])
        return total

    async def _spend_of(self, batch: Batch) -> Spend:
        if batch.id not in self._spend:
            spend = Spend()
            async with contextlib.aclosing(self._lines(batch, spend=spend)) as lines:
                async for _ in lines:
                    pass
            self._spend[batch.id] = spend
        return self._spend[batch.id]

    def _lines(
        self, batch: Batch, *, spend: Spend | None = None, damage: Damage | None = None
    ) -> AsyncGenerator[bytes, None]:
        return result_lines(
            self._store,
            batch,
            extra_models=self.settings.extra_models,
            words_wanted=self.settings.reply_words,
            spend=spend,
            damage=damage,
        )

    def look_up_in_cache(self, params: dict[str, Any], *, workspace: str) -> CachedTokens:
        """Return what a request outside any batch reads from the prompt cache, and writes to it."""
        session = self._cache.session(workspace=workspace, now=self.clock.now(), delay=0.0)
        cached = session.look_up(params)
        session.commit()
        return cached

    def _check_queue(self, arriving: int) -> None:
        limit = self.settings.queue_limit
        now = self.clock.now()
        waiting = sum(b.size for b in self._store.newest_first() if b.status(now) != "ended")
        if limit is not None and waiting + arriving > limit:
            raise ApiError(
                "rate_limit_error",
                f"This request would exceed the limit of {limit} batch requests in the processing "
                f"queue: {waiting} are waiting.",
                retry_after=_QUEUE_RETRY_SECONDS,
            )
