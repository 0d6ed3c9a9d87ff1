"""What a person decides where no rule can tell: what became of a lost answer, or of a process.

The former is written into the ledger of the run, where its next attempt finds it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.ledger import Entry, Ledger
from meshflow_prefect.lineage import Lineage, lineage_of
from meshflow_prefect.suspension import remain_one_attempt


async def submissions(run_id: str) -> list[Entry]:
    """Return what a run, or the run at its root, has submitted."""
    async with get_client() as prefect:
        return await (await _ledger(prefect, run_id)).entries()


async def adopt(run_id: str, batch_id: str, number: int | None = None) -> Entry:
    """Record that a batch is the one whose answer was lost.

    `number` says which submission, where several of the run have lost theirs. Raises
    `InvalidRequestError` where none has, or the batch has another number of requests, and
    `BatchNotFoundError` for an unknown batch.
    """
    async with get_client() as prefect:
        ledger = await _ledger(prefect, run_id)
        entries = await ledger.entries()
        entry = _open_one(entries, run_id, number)
        if other := next((e for e in entries if e.batch_id == batch_id), None):
            raise InvalidRequestError(
                f"Batch {batch_id!r} is that of submission {other.number} of run {run_id} already."
            )
        block = entry.work.block
        key = await AnthropicCredentials.aload(block) if block else AnthropicCredentials()
        async with key.get_client() as anthropic:
            job = await anthropic.status(batch_id)
        if not job.may_hold(entry.work.requests):
            raise InvalidRequestError(
                f"Batch {batch_id!r} has {job.total:,} requests, submission {entry.number} of run "
                f"{run_id} has {entry.work.requests:,}: it is not the one that was lost."
            )
        return await ledger.record_batch(entry, batch_id)


async def submit_anew(run_id: str, number: int | None = None) -> Entry:
    """Record that the create call whose answer was lost is to be sent again; see `adopt`."""
    async with get_client() as prefect:
        ledger = await _ledger(prefect, run_id)
        entry = _open_one(await ledger.entries(), run_id, number)
        await ledger.decide_to_submit_anew(entry)
        return entry


async def wake(run_id: str) -> FlowRun:
    """Have a run started again that nothing else will start, and return it.

    That is a run in Suspended without a time to go on, whose machine and worker died together
    between the two calls of a suspension; or in Pending, whose worker died as it took the run up.
    Of a run below, it is the run of its process that is woken. Raises `InvalidRequestError` for a
    run that is in another state: it goes on by itself, or has ended.
    """
    async with get_client() as prefect:
        runs = (await _lineage(prefect, run_id)).in_this_process
        own = runs[-1] if runs is not None else None
        state = None if own is None else own.state
        if own is None or state is None or not (state.is_paused() or state.is_pending()):
            found = "no deployment" if own is None else f"the state {own.state_name!r}"
            raise InvalidRequestError(
                f"Run {run_id} has {found}: only a run in 'Suspended' can be woken, or one in "
                "'Pending' that no worker is starting any more."
            )
        now: State = Scheduled(name="Resuming", scheduled_time=datetime.now(UTC))
        await prefect.set_flow_run_state(own.id, now)
        if state.is_paused():
            await remain_one_attempt(prefect, own)
        return own


async def _ledger(prefect: PrefectClient, run_id: str) -> Ledger:
    return Ledger(prefect, (await _lineage(prefect, run_id)).root.id)


async def _lineage(prefect: PrefectClient, run_id: str) -> Lineage:
    try:
        return await lineage_of(prefect, UUID(run_id))
    except (ObjectNotFound, ValueError):
        raise InvalidRequestError(f"There is no flow run {run_id!r}.") from None


def _open_one(entries: list[Entry], run_id: str, number: int | None) -> Entry:
    waiting = [e for e in entries if not e.batch_id and number in (None, e.number)]
    if len(waiting) == 1:
        return waiting[0]
    if not waiting:
        known = ", ".join(f"{e.number}: {e.batch_id or 'no batch'}" for e in entries) or "none"
        raise InvalidRequestError(
            f"Run {run_id} has no such submission without a batch. Its submissions are: {known}."
        )
    raise InvalidRequestError(
        f"Run {run_id} has {len(waiting)} submissions without a batch: say which with --number, "
        f"one of {', '.join(str(e.number) for e in waiting)}."
    )
