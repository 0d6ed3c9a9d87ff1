"""One chunk → one batch: found in the ledger where it is paid for already, else created once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshflow_prefect.activity import busy
from meshflow_prefect.errors import CredentialsError, SubmissionRefusedError, SubmissionUnknownError
from meshflow_prefect.ledger import Claims, Entry, Ledger, match
from meshflow_prefect.lineage import Lineage, read_lineage
from meshflow_prefect.locks import AnyLoopLock
from meshflow_prefect.reporting import counted

if TYPE_CHECKING:
    from meshflow_prefect.chunking import Chunk
    from meshflow_prefect.client import AnthropicBatchClient

_claims = Claims()
_claiming = AnyLoopLock()


async def submit_once(chunk: Chunk, anthropic: AnthropicBatchClient, *, sole: bool = False) -> str:
    """Return the id of the batch that runs this chunk.

    In a flow run, a batch that the root run's ledger already holds is returned and nothing is
    sent. Outside of one there is no ledger: every call makes a batch.

    Raises `SubmissionRefusedError` when Anthropic certainly made no batch, and
    `SubmissionUnknownError` when a create call of this run was sent and its outcome is not known.
    """
    from prefect import get_client
    from prefect.logging import get_run_logger

    with busy():
        async with get_client() as prefect:
            lineage = await read_lineage(prefect)
            if lineage is None:
                return (await anthropic.create(chunk)).batch_id
            logger = get_run_logger()
            ledger = Ledger(prefect, lineage)
            # One at a time: of two submissions of equal content, each finds an entry of its own.
            async with _claiming:
                entry, is_new = await _claim(ledger, lineage, chunk, sole=sole)
            if is_new:
                entry = await _create(ledger, entry, chunk, anthropic)
                submitted = counted(entry.requests, "request")
                logger.info("Submitted %s as batch %s.", submitted, entry.batch_id)
                return entry.batch_id
            _check_same(entry, chunk)
            if not entry.batch_id:
                raise _unknown(entry)
            if entry.digest != chunk.digest:
                logger.warning(
                    "The requests have changed since %s, when this run submitted them as batch %s. "
                    "That batch is collected; to submit the changed requests, start a new run.",
                    entry.intended_at,
                    entry.batch_id,
                )
            logger.info("Batch %s was submitted earlier; nothing is sent.", entry.batch_id)
            return entry.batch_id


async def submitted_digest(batch_id: str) -> str:
    """Return the digest of the content that was submitted as a batch of this run."""
    from prefect import get_client

    async with get_client() as prefect:
        lineage = await read_lineage(prefect)
        entries = await Ledger(prefect, lineage).entries() if lineage is not None else []
    return next(entry.digest for entry in entries if entry.batch_id == batch_id)


async def _claim(
    ledger: Ledger, lineage: Lineage, chunk: Chunk, *, sole: bool
) -> tuple[Entry, bool]:
    """Return the entry of this submission, and whether it was made just now."""
    while True:
        entries = await ledger.entries()
        free = [entry for entry in entries if _claims.is_free(lineage, entry)]
        found = match(free, lineage, chunk.digest, sole=sole)
        made = found is None
        if found is None:
            found = await ledger.record_intent(
                entries[-1].number + 1 if entries else 0,
                digest=chunk.digest,
                ids_digest=ids_digest(chunk.custom_ids),
                requests=len(chunk.items),
            )
        # None: an execution of this run in another process was first. Look again.
        if found is not None:
            _claims.take(lineage, found)
            return found, made


async def _create(
    ledger: Ledger, entry: Entry, chunk: Chunk, anthropic: AnthropicBatchClient
) -> Entry:
    try:
        job = await anthropic.create(chunk)
    except (CredentialsError, SubmissionRefusedError):
        await ledger.withdraw(entry)
        raise
    # From here on the batch is paid for. A cancellation of this coroutine must not come between
    # the answer and its record.
    return await asyncio.shield(ledger.record_batch(entry, job.batch_id))


def ids_digest(custom_ids: Sequence[str]) -> str:
    """Return a digest of custom ids in their order."""
    return hashlib.sha256("\n".join(custom_ids).encode()).hexdigest()


def _check_same(entry: Entry, chunk: Chunk) -> None:
    """Refuse to hand out a batch whose rows could not be told apart by these requests."""
    if entry.requests != len(chunk.items):
        raise SubmissionUnknownError(
            f"This run submitted {entry.requests:,} requests at {entry.intended_at} as batch "
            f"{entry.batch_id!r}, and now has {len(chunk.items):,}. Nothing was sent. Collect that "
            "batch by its id, or start a new run for the changed requests.",
            batch_id=entry.batch_id,
        )
    # Where the content has changed as well, the ids of what was submitted are made anew from it.
    if entry.digest == chunk.digest and entry.ids_digest != ids_digest(chunk.custom_ids):
        raise SubmissionUnknownError(
            f"This run submitted the same requests at {entry.intended_at} as batch "
            f"{entry.batch_id!r}, with other custom ids: its rows would all be missing. Nothing "
            "was sent. Make ids that a replay repeats (a row number, not a random one), and "
            "collect that batch by its id.",
            batch_id=entry.batch_id,
        )


def _unknown(entry: Entry) -> SubmissionUnknownError:
    return SubmissionUnknownError(
        f"A create call for {entry.requests:,} requests was about to be sent at "
        f"{entry.intended_at}, and its answer is not recorded: there may be a batch, and it would "
        "be billed. It is not sent again. Look for a batch of that size and time in the Anthropic "
        "console and collect it by its id, or start a new run to submit anew.",
        requests=entry.requests,
        intended_at=entry.intended_at,
    )
