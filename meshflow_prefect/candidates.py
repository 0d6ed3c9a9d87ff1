"""Which of the workspace's batches may be the one whose answer was lost, and which of them is.

Anthropic's batches have no name, so a lost one is found by what is known of it: it was created
since the intent, it has the same number of requests, no run of the workspace has it in its ledger,
and its results, once there are any, hold the custom ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from meshflow_prefect.chunking import are_task_ids, ids_digest
from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchNotEndedError,
    BatchNotFoundError,
    MeshflowError,
    ResultsUnavailableError,
)
from meshflow_prefect.heartbeat import SKEW
from meshflow_prefect.ledgers import entries_since
from meshflow_prefect.looking import despite_stale_answers, look_at
from meshflow_prefect.models import BatchJob

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from meshflow_prefect.client import AnthropicBatchClient
    from meshflow_prefect.ledger import Entry

_WRONG_CLOCK = timedelta(minutes=15)
"""By how much this machine's clock may be ahead, where nothing but the time can tell what was made
since the intent."""

_TOO_LATE = timedelta(hours=1)
"""How long after the end of a create call a batch is made, at least, that is not waited for: or
another program, which makes one after the other, would be without end."""

Verdict: TypeAlias = Literal["ours", "not ours", "unclear"]


async def newest_batch(anthropic: AnthropicBatchClient) -> str | None:
    """Return the newest batch of the workspace: empty without one, None when it cannot be asked.

    What is made later is listed before it, whatever the clock of this machine says.
    """
    try:
        return next((job.batch_id for job in await anthropic.list(limit=1)), "")
    except MeshflowError:
        return None  # a fault, or a gateway without lists: the create call must not fail of it


async def candidates_of(
    entry: Entry,
    seen: dict[str, BatchJob],
    anthropic: AnthropicBatchClient,
    prefect: PrefectClient,
) -> tuple[list[BatchJob], bool]:
    """Return the batches that may be the one of `entry`, and whether it would be among them.

    `seen` are those of earlier looks, and gets those of this one.
    """
    since = entry.submitted_at - (_WRONG_CLOCK if entry.newest_before is None else SKEW)
    listed = await anthropic.list(enough=partial(_is_enough, entry.newest_before, since))
    jobs, sees_all = _made_since(entry.newest_before, since, listed)
    names = {job.batch_id for job in listed}
    # A replica that is behind does not list what another one has shown.
    jobs += [await _again(job, anthropic) for name, job in seen.items() if name not in names]
    # Once seen, it stays: what a later answer counts may be behind. The ids decide in any case.
    jobs = [job for job in jobs if job.batch_id in seen or job.may_hold(entry.work.requests)]
    if jobs:
        taken = {other.batch_id for other in await entries_since(prefect, since)}
        jobs = [job for job in jobs if job.batch_id not in taken]
    seen.clear()
    seen.update({job.batch_id: job for job in jobs})
    return jobs, sees_all


def is_too_late(job: BatchJob, entry: Entry) -> bool:
    """Whether a batch was made long after the create call of `entry` was over, by the clocks."""
    return job.created_at >= entry.right.ends_at + _TOO_LATE


async def _again(job: BatchJob, anthropic: AnthropicBatchClient) -> BatchJob:
    """Return a batch that was listed before, and is not any more, as it is now."""

    async def submitted_at() -> datetime:
        return job.created_at

    try:
        return await look_at(job.batch_id, anthropic, submitted_at)
    except BatchNotFoundError:
        # Deleted, which is done to what has ended: nothing will prove whose it was.
        return replace(job, status="ended")


async def rivals_of(entry: Entry, ours: Sequence[BatchJob], prefect: PrefectClient) -> list[Entry]:
    """Return the other submissions of the same ids whose batch each of `ours` may be.

    It holds the same rows' ids, and perhaps other replies. What was certainly refused is none.
    """
    oldest, newest = (f(job.created_at for job in ours) for f in (min, max))
    return [
        other
        for other in await entries_since(prefect, entry.submitted_at - SKEW)
        if not (other.batch_id or other.submit_anew)
        and other.work.ids_digest == entry.work.ids_digest
        and (other.run_ids[-1], other.number) != (entry.run_ids[-1], entry.number)
        and other.submitted_at - SKEW <= newest
        and oldest <= other.right.ends_at + SKEW
    ]


def _is_enough(marker: str | None, since: datetime, jobs: list[BatchJob]) -> bool:
    # One whose oldest come first, or of which there is one to see, has to be read to its end.
    if not jobs:
        return False
    met = any(job.batch_id == marker for job in jobs)
    is_older = met or (marker is None and jobs[-1].created_at < since)
    return len(jobs) > 1 and _newest_first(jobs) and is_older


def _made_since(
    marker: str | None, since: datetime, jobs: list[BatchJob]
) -> tuple[list[BatchJob], bool]:
    """Return the batches that were made since the intent, and whether it is the list of then.

    The batch that was the newest just before the intent tells, since what was made later is listed
    before it. Where it is not known, or not there any more, only the times are left to go by.
    """
    if marker == "":
        return jobs, True
    ids = [job.batch_id for job in jobs]
    if marker in ids and _newest_first(jobs):
        return jobs[: ids.index(marker)], True
    return [job for job in jobs if job.created_at >= since], marker is None or marker in ids


def _newest_first(jobs: Sequence[BatchJob]) -> bool:
    return jobs[0].created_at >= jobs[-1].created_at


async def verdict_on(
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
