"""One job across runs: which root run holds the record of a `job_key`.

A key is taken by one Prefect variable, whose name is unique in the workspace. It points to the
root run whose ledger holds the job's submissions; every run with the key uses that ledger. What
Anthropic has removed the results of is submitted anew, under the next variable of the key.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from meshflow_prefect.errors import BatchNotFoundError, JobKeyError
from meshflow_prefect.ledger import Entry, Ledger, Work
from meshflow_prefect.matching import keyed
from meshflow_prefect.models import RESULTS_KEPT

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from meshflow_prefect.client import AnthropicBatchClient


async def hold(
    prefect: PrefectClient, root_id: UUID, work: Work, anthropic: AnthropicBatchClient
) -> UUID:
    """Return the root run that holds a submission's key: this one, unless another was first.

    Raises `JobKeyError` when the record of the key's job is gone, and `ApiUnavailableError` when
    it cannot be asked whether an old batch has its results still.
    """
    from prefect.client.schemas.actions import VariableCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    now, job_key = datetime.now(UTC), work.job_key
    mine = {"job_key": job_key, "root_id": str(root_id), "taken_at": now.isoformat()}
    use = 0
    while True:
        name = variable_name(job_key, use)
        held = await prefect.read_variable_by_name(name)
        if held is None:
            try:
                await prefect.create_variable(
                    VariableCreate(name=name, value=mine, tags=["meshflow"])
                )
            except ObjectAlreadyExists:
                continue  # another run was first
            return root_id
        value: Any = held.value
        holder_id = UUID(value["root_id"])
        try:
            await prefect.read_flow_run(holder_id)
        except ObjectNotFound:
            # What it submitted, and when, is not known any more.
            if now - datetime.fromisoformat(value["taken_at"]) > RESULTS_KEPT:
                use += 1
                continue
            raise JobKeyError(
                f"job_key {job_key!r}: the flow run {holder_id} that submitted this job was "
                "deleted, and the record of its batches with it. Look for them with "
                "`meshflow-prefect list` and collect them with `batch_ids=`; or, to submit anew, "
                f"delete the Prefect variable {name!r} or use another key.",
                job_key=job_key,
            ) from None
        entry = keyed(await Ledger(prefect, holder_id).entries(), work)
        if entry is None or await _has_results(entry, anthropic, now):
            return holder_id
        # The name is left alone: of two runs that find it so, neither can remove what the other
        # has just made.
        use += 1


async def submitted_by_holder(
    prefect: PrefectClient, job_key: str, job_digest: str
) -> dict[str, Entry]:
    """Return what the run that holds a key has submitted of a job of this content, by its parts.

    What Anthropic may have removed the results of is left out. The key is not taken.
    """
    holder_id = await holder_of(prefect, job_key)
    if holder_id is None:
        return {}
    entries = await _recent(prefect, holder_id, job_key)
    return {entry.work.part: entry for entry in entries if entry.work.job_digest == job_digest}


async def unfinished(prefect: PrefectClient, job_key: str) -> list[Entry]:
    """Return what was submitted under a key whose run has neither completed nor was cancelled."""
    from prefect.exceptions import ObjectNotFound

    holder_id = await holder_of(prefect, job_key)
    if holder_id is None:
        return []
    try:
        state = (await prefect.read_flow_run(holder_id)).state
    except ObjectNotFound:
        return []
    if state is not None and (state.is_completed() or state.is_cancelled()):
        return []
    return await _recent(prefect, holder_id, job_key)


async def holder_of(prefect: PrefectClient, job_key: str) -> UUID | None:
    """Return the root run that holds a key; None where there is none."""
    use, held = 0, None
    while (found := await prefect.read_variable_by_name(variable_name(job_key, use))) is not None:
        held, use = found, use + 1
    value: Any = None if held is None else held.value
    return None if value is None else UUID(value["root_id"])


async def _recent(prefect: PrefectClient, holder_id: UUID, job_key: str) -> list[Entry]:
    youngest = datetime.now(UTC) - RESULTS_KEPT
    entries = await Ledger(prefect, holder_id).entries()
    return [e for e in entries if e.work.job_key == job_key and e.submitted_at > youngest]


async def _has_results(entry: Entry, anthropic: AnthropicBatchClient, now: datetime) -> bool:
    """Whether the batch of an entry, made or still to be made, has its results, or will have."""
    if not entry.batch_id or now - entry.submitted_at < RESULTS_KEPT:
        return True
    # It may have been made long after its intent: refused again and again, say.
    try:
        job = await anthropic.status(entry.batch_id)
    except BatchNotFoundError:
        return False
    return job.archived_at is None and now - job.created_at < RESULTS_KEPT


def variable_name(job_key: str, use: int = 0) -> str:
    """Return the name of the Prefect variable that holds a key, which may be any text.

    `use` counts how often the key was used anew, after the results had expired.
    """
    digest = hashlib.sha256(job_key.encode()).hexdigest()[:32]
    return f"meshflow_job_{digest}_{use}"


def check_content(entry: Entry, work: Work) -> None:
    """Raise `JobKeyError` where a key's job has other content than what is asked for."""
    then, now = entry.work, work
    # One chunk may be the same, and the job another.
    if (then.digest, then.job_digest) != (now.digest, now.job_digest):
        told = f" ({then.requests:,} requests then, {now.requests:,} now)"
        raise JobKeyError(
            f"job_key {work.job_key!r} was used at {entry.intended_at} by flow run "
            f"{entry.run_ids[-1]} for other content{told * (then.requests != now.requests)}, or "
            "in batches of other limits. Nothing was sent. Give the same requests and limits "
            "(max_requests_per_batch, max_bytes_per_batch, max_requests_in_queue), and of a file "
            "the same id_column, deduplicate, cache_system and warm_cache, to collect that job, or "
            "another key for another one.",
            job_key=work.job_key,
            run_id=entry.run_ids[-1],
        )
