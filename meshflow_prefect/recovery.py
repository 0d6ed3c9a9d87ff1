"""The batch that a create call may have made, whose answer was lost.

Anthropic's batches have no name and create has no idempotency key, so a lost batch is found by what
is known of it: it was created since the intent, it has the same number of requests, no run of the
workspace has it in its ledger, and its results, once there are any, hold the custom ids.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from meshflow_prefect.activity import busy
from meshflow_prefect.chunking import are_task_ids, ids_digest
from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchNotEndedError,
    BatchNotFoundError,
    CredentialsError,
    MeshflowError,
    ResultsUnavailableError,
    SubmissionUnknownError,
)
from meshflow_prefect.heartbeat import SKEW
from meshflow_prefect.ledgers import entries_since
from meshflow_prefect.looking import despite_stale_answers, look_at
from meshflow_prefect.models import BatchJob
from meshflow_prefect.polling import describe, next_check
from meshflow_prefect.reporting import counted

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from meshflow_prefect.client import AnthropicBatchClient
    from meshflow_prefect.ledger import Entry
    from meshflow_prefect.polling import Found, Rest

SETTLE_SECONDS = 20.0
"""For how long the list must show no batch before it is certain that nothing was accepted."""

_LONGEST_SETTLING = 300.0

_LOOK_SECONDS = 4.0

_WRONG_CLOCK = timedelta(minutes=15)
"""By how much this machine's clock may be ahead, where nothing but the time can tell what was made
since the intent."""

_TOO_LATE = timedelta(hours=1)
"""How long after the end of a create call a batch is made, at least, that is certainly not its: or
another program that makes one after the other would be waited for without end."""

_WAITS = "the answer to a create call was lost; waiting for the results that prove which it made:"

_OTHER_LIST = (
    "the list of batches does not show {!r}, which was the newest before it: that one was deleted, "
    "or the key belongs to another workspace now"
)

Verdict: TypeAlias = Literal["ours", "not ours", "unclear"]


def settling(took: float) -> float:
    """Return for how many seconds to watch the list after a create call whose answer was lost.

    As long again as the call took: what was slow to fail may be slow to show, too, where a gateway
    has given up a call that Anthropic goes on with.
    """
    return max(SETTLE_SECONDS, min(took, _LONGEST_SETTLING))


async def find_lost_batch(
    entry: Entry,
    custom_ids: Sequence[str],
    *,
    anthropic: AnthropicBatchClient,
    prefect: PrefectClient,
    rest: Rest,
    settle_seconds: float,
    run_id: str,
) -> str | None:
    """Return the batch that the create call of `entry` made; None when it certainly made none.

    Candidates that have not ended are waited for, with `rest`, since only results prove a batch.
    Raises `SubmissionUnknownError`, naming the candidates and the run whose ledger has the entry
    (`run_id`), when it cannot be known.
    """
    # Ids that name their job are nobody else's: one proof is enough. Other ids may occur in several
    # batches, all of which have to be seen.
    distinct = are_task_ids(custom_ids)
    verdicts: dict[str, Verdict] = {}
    seen: dict[str, BatchJob] = {}
    settled_at = time.monotonic() + settle_seconds
    while True:
        try:
            with busy():
                candidates, sees_all = await _candidates(entry, seen, anthropic, prefect)
                for job in candidates:
                    if job.is_complete and job.batch_id not in verdicts:
                        verdicts[job.batch_id] = await _verdict(job, entry, custom_ids, anthropic)
                ours = [job for job in candidates if verdicts.get(job.batch_id) == "ours"]
                if ours and not distinct and await _has_rivals(entry, ours, prefect):
                    raise unknown(entry, candidates, run_id)
        except ApiUnavailableError as error:
            settled_at = time.monotonic() + settle_seconds
            await rest(_next_look(error, entry.submitted_at), describe(error))
            continue
        except (CredentialsError, SubmissionUnknownError):
            raise
        except MeshflowError as error:  # a gateway without lists, or with one that never ends
            raise _undecided(
                entry, f"the batches cannot be looked through: {error}", run_id
            ) from None
        running = [job for job in candidates if not job.is_complete]
        if len(ours) == 1 and (distinct or not running):
            return ours[0].batch_id
        if running:
            oldest = min(running, key=lambda job: job.created_at)
            names = ", ".join(job.batch_id for job in running)
            await rest(_next_look(oldest, oldest.created_at), f"{_WAITS} {names}")
            continue
        unclear = [job for job in candidates if verdicts[job.batch_id] != "not ours"]
        if unclear:
            raise unknown(entry, unclear, run_id)
        if time.monotonic() >= settled_at:
            if not sees_all:
                raise _undecided(entry, _OTHER_LIST.format(entry.newest_before), run_id)
            return None
        with busy():
            await asyncio.sleep(_LOOK_SECONDS)


async def newest_batch(anthropic: AnthropicBatchClient) -> str | None:
    """Return the newest batch of the workspace: empty without one, None when it cannot be asked.

    What is made later is listed before it, whatever the clock of this machine says.
    """
    try:
        return next((job.batch_id for job in await anthropic.list(limit=1)), "")
    except MeshflowError:
        return None  # a fault, or a gateway without lists: the create call must not fail of it


async def _candidates(
    entry: Entry,
    seen: dict[str, BatchJob],
    anthropic: AnthropicBatchClient,
    prefect: PrefectClient,
) -> tuple[list[BatchJob], bool]:
    """Return the batches that may be the one of `entry`, and whether it would be among them.

    `seen` are those of earlier looks, and gets those of this one.
    """
    since = entry.submitted_at - (_WRONG_CLOCK if entry.newest_before is None else SKEW)
    until, asked_at = entry.right.ends_at + _TOO_LATE, datetime.now(UTC)
    jobs, sees_all = await _made_since(entry, since, anthropic)
    listed = {job.batch_id for job in jobs}
    # A replica that is behind does not list what another one has shown.
    jobs += [await _again(job, anthropic) for name, job in seen.items() if name not in listed]
    # A gateway may count nothing before the end; the ids decide in any case.
    jobs = [job for job in jobs if job.total in (0, entry.work.requests)]
    # Where a gateway says no time it is that of its answer.
    jobs = [job for job in jobs if job.created_at < until or job.created_at >= asked_at]
    if jobs:
        taken = {other.batch_id for other in await entries_since(prefect, since)}
        jobs = [job for job in jobs if job.batch_id not in taken]
    seen |= {job.batch_id: job for job in jobs}
    return jobs, sees_all


async def _again(job: BatchJob, anthropic: AnthropicBatchClient) -> BatchJob:
    """Return a batch that was listed before, and is not any more, as it is now."""

    async def submitted_at() -> datetime:
        return job.created_at

    try:
        return await look_at(job.batch_id, anthropic, submitted_at)
    except BatchNotFoundError:
        # Deleted, which is done to what has ended: nothing will prove whose it was.
        return replace(job, status="ended")


async def _has_rivals(entry: Entry, ours: Sequence[BatchJob], prefect: PrefectClient) -> bool:
    """Whether another submission has lost its answer as well, and sent the same ids.

    Its batch holds the same rows' ids, and perhaps other replies.
    """
    oldest, newest = (f(job.created_at for job in ours) for f in (min, max))
    return any(
        not other.batch_id
        and other.work.ids_digest == entry.work.ids_digest
        and (other.run_ids[-1], other.number) != (entry.run_ids[-1], entry.number)
        and other.submitted_at - SKEW <= newest
        and oldest <= other.right.ends_at + SKEW
        for other in await entries_since(prefect, entry.submitted_at - SKEW)
    )


async def _made_since(
    entry: Entry, since: datetime, anthropic: AnthropicBatchClient
) -> tuple[list[BatchJob], bool]:
    """Return the batches that were made since the intent, and whether it is the list of then.

    The batch that was the newest just before the intent tells, since what was made later is listed
    before it. Where it is not known, or not there any more, only the times are left to go by.
    """
    marker = entry.newest_before

    def enough(jobs: list[BatchJob]) -> bool:
        # One whose oldest come first, or of which there is one to see, has to be read to its end.
        if not jobs:
            return False
        met = any(job.batch_id == marker for job in jobs)
        is_older = met or (marker is None and jobs[-1].created_at < since)
        return len(jobs) > 1 and _newest_first(jobs) and is_older

    jobs = await anthropic.list(enough=enough)
    if marker == "":
        return jobs, True
    ids = [job.batch_id for job in jobs]
    if marker in ids and _newest_first(jobs):
        return jobs[: ids.index(marker)], True
    return [job for job in jobs if job.created_at >= since], marker is None or marker in ids


def _newest_first(jobs: Sequence[BatchJob]) -> bool:
    return jobs[0].created_at >= jobs[-1].created_at


async def _verdict(
    job: BatchJob, entry: Entry, custom_ids: Sequence[str], anthropic: AnthropicBatchClient
) -> Verdict:
    """Return whether the results of an ended batch are those of the requests of `entry`."""
    read = partial(_ids_in_results, job.batch_id, anthropic)
    try:
        # The list may be ahead of what is asked here.
        found = await despite_stale_answers(read, BatchNotEndedError, BatchNotFoundError)
    except BatchNotEndedError as error:
        raise ApiUnavailableError(error.message, **error.details) from None
    except (BatchNotFoundError, ResultsUnavailableError):
        return "unclear"
    if ids_digest(found) == entry.work.ids_digest:
        return "ours"
    # Rows may be missing or damaged. A redeploy may have changed the ids since: then only the
    # digest above can tell.
    known = found.intersection(custom_ids)
    if ids_digest(custom_ids) != entry.work.ids_digest or not found:
        return "unclear"
    # Ids that name their job are in no other batch, whoever's rows are among them.
    if known == found or (known and are_task_ids(custom_ids)):
        return "ours"
    return "unclear" if known else "not ours"


async def _ids_in_results(batch_id: str, anthropic: AnthropicBatchClient) -> set[str]:
    async with aclosing(anthropic.iter_results(batch_id)) as results:
        return {result.custom_id async for result in results}


def _next_look(found: Found, since: datetime) -> datetime:
    return next_check(found, since=since, poll_interval=_LOOK_SECONDS, wait_fraction=0.25)


def unknown(entry: Entry, candidates: Sequence[BatchJob], run: str) -> SubmissionUnknownError:
    """Return the error that names the candidates, and how to decide between them."""
    named = "; ".join(
        f"{job.batch_id} of {job.created_at:%F %T %Z}, {counted(job.total, 'request')}, "
        f"{job.status}"
        for job in candidates
    )
    why = f"it cannot be known whether one of these batches is its: {named}"
    return _undecided(entry, why, run, [job.batch_id for job in candidates])


def _undecided(
    entry: Entry, why: str, run: str, candidates: Sequence[str] = ()
) -> SubmissionUnknownError:
    return SubmissionUnknownError(
        f"The answer to the create call of {counted(entry.work.requests, 'request')} at "
        f"{entry.intended_at} was lost, and {why.rstrip('.')}. Nothing is sent again. Decide, and "
        f"retry the run: `meshflow-prefect adopt {run} BATCH` takes one, `meshflow-prefect "
        f"resubmit {run}` sends anew; in code, `if_unknown=` takes a batch id or 'submit'.",
        candidates=list(candidates),
        requests=entry.work.requests,
        intended_at=entry.intended_at,
        run_id=run,
    )
