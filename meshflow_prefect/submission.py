"""One chunk → one batch: found where it is paid for already, else created once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

from meshflow_prefect.activity import busy
from meshflow_prefect.candidates import newest_batch
from meshflow_prefect.errors import ContentChangedError, InvalidRequestError, SubmissionUnknownError
from meshflow_prefect.job_keys import check_content, hold, submitted_by_holder
from meshflow_prefect.ledger import Entry, Ledger, OnCancel, Work
from meshflow_prefect.ledgers import made_by
from meshflow_prefect.lineage import Lineage, mark
from meshflow_prefect.locks import AnyLoopLock
from meshflow_prefect.lost_results import only_collecting, unknown_batches
from meshflow_prefect.matching import Claims, is_own, keyed, match
from meshflow_prefect.reporting import counted
from meshflow_prefect.resting import Resting, resting
from meshflow_prefect.sending import Sender

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from meshflow_prefect.chunking import Chunk
    from meshflow_prefect.client import AnthropicBatchClient

_CHANGED = (
    "The requests have changed since %s, when this run submitted them as batch %s. That batch is "
    "collected; to submit the changed requests, start a new run."
)

_claims = Claims()
_claiming = AnyLoopLock()


def work_of(chunk: Chunk, **terms: Any) -> Work:
    """Return what the ledger records of a chunk that is about to be sent on these terms."""
    return Work(digest=chunk.digest, ids_digest=chunk.ids_digest, requests=chunk.requests, **terms)


async def submit_once(
    chunk: Chunk, work: Work, anthropic: AnthropicBatchClient, *, if_unknown: str = "stop"
) -> str:
    """Return the id of the batch that runs this chunk.

    In a flow run, a batch that the ledger already holds is returned and nothing is sent. Outside
    of one there is no ledger: every call makes a batch.

    Raises `InvalidRequestError` for terms that are none, `SubmissionRefusedError` when Anthropic
    certainly made no batch, and `SubmissionUnknownError` when a create call was sent and its
    outcome cannot be known.
    """
    _check_terms(work, if_unknown)
    async with resting() as rest:
        if rest.lineage is None:
            if work.job_key:
                raise InvalidRequestError("job_key: there is no flow run to keep the record of it.")
            return await anthropic.create(chunk)
        own = Ledger(rest.prefect, rest.lineage.root.id)
        with busy():
            # Not between the intent and the call: a kill there costs the next attempt a search.
            await anthropic.connect()
            await mark(rest.prefect, rest.lineage)
            ledger = await _ledger_for(work, own, rest, anthropic)
        sender = Sender(chunk, anthropic, ledger, rest, if_unknown)
        entry = await _settled(ledger, rest.lineage, work, sender)
        if ledger is not own:
            with busy():
                await _copy(entry, own, rest.lineage, work)
        return entry.batch_id


async def taken_over(
    mine: Mapping[str, Entry], job_key: str, job_digest: str, **terms: Any
) -> dict[str, Entry]:
    """Return what was submitted of a job, under this root (`mine`) or by its key's holder.

    By the parts of the job. The batches of the other run are recorded under this root, on these
    `terms` (see `Work`), as if its submissions had been found one by one.
    """
    async with resting() as rest:
        if rest.lineage is None:
            return dict(mine)
        theirs = await submitted_by_holder(rest.prefect, job_key, job_digest)
        known = {part for part, entry in mine.items() if entry.batch_id}
        fresh = {part: e for part, e in theirs.items() if e.batch_id and part not in known}
        own = Ledger(rest.prefect, rest.lineage.root.id)
        with busy():
            for entry in fresh.values():
                await mark(rest.prefect, rest.lineage)
                await _copy(entry, own, rest.lineage, replace(entry.work, **terms))
        return {**theirs, **mine, **fresh}


async def _ledger_for(
    work: Work, own: Ledger, rest: Resting, anthropic: AnthropicBatchClient
) -> Ledger:
    """Return the ledger that holds a submission: the run's own, or that of its key's holder."""
    if not work.job_key:
        return own
    copied = keyed(await own.entries(), work)
    if copied is not None and copied.batch_id:
        return own
    holder_id = await hold(rest.prefect, own.root_id, work, anthropic)
    return own if holder_id == own.root_id else Ledger(rest.prefect, holder_id)


async def _settled(ledger: Ledger, lineage: Lineage, work: Work, sender: Sender) -> Entry:
    """Return the entry of this submission once it has a batch."""
    from prefect.logging import get_run_logger

    logger = get_run_logger()
    while True:
        # One at a time: of two submissions of equal content, each finds an entry of its own.
        with busy():
            async with _claiming:
                entry, is_mine = await _claim(ledger, lineage, work, sender)
        if entry.batch_id:
            _check_same(entry, work)
            if entry.work.digest != work.digest:
                logger.warning(_CHANGED, entry.intended_at, entry.batch_id)
            logger.info("Batch %s was submitted earlier; nothing is sent.", entry.batch_id)
            return entry
        try:
            made = await sender.made(entry, is_mine=is_mine)
        except BaseException:
            # Prefect may run the task again in this process, whatever the error was.
            _claims.give_back(lineage, entry)
            raise
        if made is not None:
            _check_same(made, work)
            what = counted(work.requests, "request")
            logger.info("Submitted %s as batch %s.", what, made.batch_id)
            return made
        _claims.give_back(lineage, entry)


async def _claim(
    ledger: Ledger, lineage: Lineage, work: Work, sender: Sender
) -> tuple[Entry, bool]:
    """Return the entry of a submission, and whether it was made just now."""
    while True:
        entries = await ledger.entries()
        if work.job_key:
            # A key names one job, whichever run asks for it, and however often.
            found = keyed(entries, work)
            # A replay may come with changed content, a second job may not.
            if found is not None and not (
                is_own(found, lineage) and _claims.is_free(lineage, found)
            ):
                check_content(found, work)
        else:
            free = [entry for entry in entries if _claims.is_free(lineage, entry)]
            moved = _claims.have_moved(entries, lineage, work)
            found = match(free, lineage, work, have_moved=moved)
            while found is not None and await _is_given_up(found, lineage, sender.rest.prefect):
                free.remove(found)
                found = match(free, lineage, work, have_moved=moved)
            if found is None and (other := _claims.given_to_others(entries, lineage, work)):
                raise _other_order(other)
        if only_collecting() and (found is None or not found.batch_id):
            raise unknown_batches(work.requests, made_by(entries, lineage))
        is_mine = found is None
        if found is None:
            newest = await newest_batch(sender.anthropic)
            found = await ledger.record_intent(
                _next_number(entries), work, lineage, newest, seconds=sender.seconds
            )
        # None: an execution of this run in another process was first. Look again.
        if found is not None:
            if ledger.root_id == lineage.root.id:
                _claims.take(lineage, found, work)
            return found, is_mine


async def _is_given_up(entry: Entry, lineage: Lineage, prefect: PrefectClient) -> bool:
    """Whether an entry is that of a run that was cancelled, its batch too, and is not this one."""
    from prefect.exceptions import ObjectNotFound

    if is_own(entry, lineage) or entry.work.on_cancel == "keep":
        return False
    above = {str(run.id) for run in lineage.runs}
    for run_id in entry.run_ids:
        if run_id not in above:
            with suppress(ObjectNotFound):
                state = (await prefect.read_flow_run(UUID(run_id))).state
                if state is not None and (state.is_cancelled() or state.is_cancelling()):
                    return True
    return False


def _other_order(entry: Entry) -> ContentChangedError:
    return ContentChangedError(
        f"These {counted(entry.work.requests, 'request')} were submitted at {entry.intended_at} as "
        f"batch {entry.batch_id or 'unknown'!r}, and a call of other requests, which comes where "
        "they came then, has been given it: the flow makes other calls than it did when it ran "
        "before. Nothing was submitted. Deploy the calls in their order of then and retry the "
        "run, or start a new one and collect that batch by its id.",
        batch_id=entry.batch_id,
    )


async def _copy(entry: Entry, ledger: Ledger, lineage: Lineage, work: Work) -> None:
    """Record a batch that another run's ledger holds in this run's own, where the rest looks."""
    entries = await ledger.entries()
    own = keyed(entries, work)
    # What was submitted is the other run's; what a cancellation does is for this one to say.
    copied = replace(entry.work, on_cancel=work.on_cancel, block=work.block)
    while own is None:
        own = await ledger.record_intent(
            _next_number(entries), copied, lineage, intended_at=entry.intended_at
        )
        entries = await ledger.entries()
    await ledger.record_batch(own, entry.batch_id)


def _next_number(entries: Sequence[Entry]) -> int:
    return entries[-1].number + 1 if entries else 0


def _check_same(entry: Entry, work: Work) -> None:
    """Refuse to hand out a batch whose rows could not be told apart by these requests."""
    if entry.work.requests != work.requests:
        raise SubmissionUnknownError(
            f"This run submitted {counted(entry.work.requests, 'request')} at "
            f"{entry.intended_at} as batch {entry.batch_id!r}, and now has {work.requests:,}. "
            "Nothing was sent. Collect that batch by its id, or start a new run for the changed "
            "requests.",
            batch_id=entry.batch_id,
        )
    # Where the content has changed as well, the ids of what was submitted are made anew from it.
    if entry.work.digest == work.digest and entry.work.ids_digest != work.ids_digest:
        raise SubmissionUnknownError(
            f"This run submitted the same requests at {entry.intended_at} as batch "
            f"{entry.batch_id!r}, with other custom ids: its rows would all be missing. Nothing "
            "was sent. Make ids that a replay repeats (a row number, not a random one), and "
            "collect that batch by its id.",
            batch_id=entry.batch_id,
        )


def _check_terms(work: Work, if_unknown: str) -> None:
    # A flow has them checked by their types; a task takes what it is given.
    if work.on_cancel not in get_args(OnCancel):
        raise InvalidRequestError(
            f"on_cancel: must be {' or '.join(map(repr, get_args(OnCancel)))}, got "
            f"{work.on_cancel!r}."
        )
    if not isinstance(if_unknown, str) or not if_unknown:
        raise InvalidRequestError(
            f"if_unknown: must be 'stop', 'submit' or the id of a batch, got {if_unknown!r}."
        )
