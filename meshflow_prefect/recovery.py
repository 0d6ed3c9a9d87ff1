"""The batch that a create call may have made, whose answer was lost.

A create has no idempotency key: sent again, it makes a second batch, and a second bill. So its
batch is looked for among the `candidates`, and only where the list has shown none for long enough
is it sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meshflow_prefect.activity import busy
from meshflow_prefect.candidates import (
    Verdict,
    candidates_of,
    is_too_late,
    rivals_of,
    verdict_on,
)
from meshflow_prefect.chunking import are_task_ids
from meshflow_prefect.errors import (
    ApiUnavailableError,
    CredentialsError,
    MeshflowError,
    SubmissionUnknownError,
)
from meshflow_prefect.heartbeat import is_over, may_go_on_until
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

GIVEN_UP_SECONDS = 60.0
"""The same where the call had arrived and was given up here: it may be carried out yet."""

_LONGEST_SETTLING = 300.0

_LOOK_SECONDS = 4.0

_WAITS = "the answer to a create call was lost; waiting for the results that prove which it made:"

_RIVAL = ApiUnavailableError("another submission of the same ids waits for its answer")

_OTHER_LIST = (
    "the list of batches does not show {!r}, which was the newest before it: that one was deleted, "
    "or the key belongs to another workspace now"
)


def settling(took: float, *, given_up: bool = False) -> float:
    """Return for how many seconds to watch the list after a create call whose answer was lost.

    As long again as the call took: what was slow to fail may be slow to show, too, where a gateway
    has given up a call that Anthropic goes on with. Of a call that was given up here (`given_up`)
    a short time says nothing, since it is this side that chose it.
    """
    least = GIVEN_UP_SECONDS if given_up else SETTLE_SECONDS
    return max(least, min(took, _LONGEST_SETTLING))


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
    in_doubt = False
    while True:
        try:
            with busy():
                candidates, sees_all = await candidates_of(entry, seen, anthropic, prefect)
                for job in candidates:
                    if job.is_complete and job.batch_id not in verdicts:
                        verdicts[job.batch_id] = await verdict_on(job, entry, custom_ids, anthropic)
                ours = [job for job in candidates if verdicts.get(job.batch_id) == "ours"]
                rivals = await rivals_of(entry, ours, prefect) if ours and not distinct else []
        except ApiUnavailableError as error:
            settled_at = time.monotonic() + settle_seconds
            await rest(_next_look(error, entry.submitted_at), describe(error))
            continue
        except CredentialsError:
            raise
        except MeshflowError as error:  # a gateway without lists, or with one that never ends
            raise _undecided(
                entry, f"the batches cannot be looked through: {error}", run_id
            ) from None
        if any(not is_over(each) and datetime.now(UTC) < may_go_on_until(each) for each in rivals):
            await rest(_next_look(_RIVAL, entry.submitted_at), describe(_RIVAL))
            continue
        if rivals and in_doubt:
            raise unknown(entry, ours, run_id)
        if rivals:
            # That its call is over is written before that it was refused.
            in_doubt = True
            with busy():
                await asyncio.sleep(_LOOK_SECONDS)
            continue
        running = [job for job in candidates if not job.is_complete]
        running = [job for job in running if not is_too_late(job, entry)]
        if len(ours) == 1 and (distinct or not running):
            return ours[0].batch_id
        if running:
            oldest = min(running, key=lambda job: job.created_at)
            names = ", ".join(job.batch_id for job in running)
            await rest(_next_look(oldest, oldest.created_at), f"{_WAITS} {names}")
            continue
        unclear = [job for job in candidates if verdicts.get(job.batch_id) != "not ours"]
        if unclear:
            raise unknown(entry, unclear, run_id)
        if time.monotonic() >= settled_at:
            if not sees_all:
                raise _undecided(entry, _OTHER_LIST.format(entry.newest_before), run_id)
            return None
        with busy():
            await asyncio.sleep(_LOOK_SECONDS)


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
