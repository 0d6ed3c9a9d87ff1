"""Which batches go with a cancelled run, and with which key they are cancelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect import get_client
from prefect.logging import get_run_logger

from meshflow_prefect.candidates import candidates_of
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import MeshflowError, SubmissionUnknownError
from meshflow_prefect.heartbeat import sender_is_done
from meshflow_prefect.ledger import Entry, Ledger
from meshflow_prefect.lineage import lineage_of
from meshflow_prefect.reporting import counted

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import State

RUN_RESOURCE = "prefect.flow-run."
"""What comes before a flow run's id where an event names it."""


@dataclass(frozen=True)
class Abandoned:
    """What a cancelled run, and the runs below it, submitted and do not want to keep."""

    batches: list[tuple[str, AnthropicCredentials]]
    """With the keys that they were submitted with."""
    lost: list[SubmissionUnknownError]
    """Of create calls that were under way, and whose batches cannot be told from others."""


async def abandoned_by(run_id: UUID) -> Abandoned:
    """Return what is to be cancelled with a run.

    Shows the runs below it as cancelled too: they wait for nothing any more.
    """
    async with get_client() as prefect:
        ledger = Ledger(prefect, (await lineage_of(prefect, run_id)).root.id)
        entries = [e for e in await ledger.entries() if str(run_id) in e.run_ids]
        await _show_as_cancelled(prefect, run_id, entries)
        wanted = [e for e in entries if e.work.on_cancel == "cancel_batches"]
        batches: list[tuple[str, AnthropicCredentials]] = []
        lost: list[SubmissionUnknownError] = []
        keys = {block: await _key(block) for block in {entry.work.block for entry in wanted}}
        for entry in wanted:
            key = keys[entry.work.block]
            settled = entry if entry.batch_id else await sender_is_done(ledger, entry)
            if settled is None or key is None:
                continue
            if settled.batch_id:
                batches.append((settled.batch_id, key))
            elif error := await _unknown(settled, key, prefect):
                lost.append(error)
    return Abandoned(batches, lost)


async def _key(block: str) -> AnthropicCredentials | None:
    """Return the key that a batch was submitted with; None, with a warning, where it is gone."""
    try:
        return await AnthropicCredentials.aload(block) if block else AnthropicCredentials()
    except ValueError as error:
        get_run_logger().warning("Batches submitted with this key go on: %s", error)
        return None


async def _unknown(
    entry: Entry, key: AnthropicCredentials, prefect: PrefectClient
) -> SubmissionUnknownError | None:
    """Return which batches may be that of a create call whose answer is not recorded, if any are.

    They are named and not cancelled: before there are results, nothing proves whose a batch is.
    """
    call = f"The create call of {counted(entry.work.requests, 'request')} at {entry.intended_at}"
    try:
        async with key.get_client() as anthropic:
            jobs, _ = await candidates_of(entry, {}, anthropic, prefect)
    except MeshflowError as error:
        return SubmissionUnknownError(
            f"{call} has no recorded answer, and the batches cannot be looked through: {error} "
            "There may be one, which goes on: look for it with `meshflow-prefect list`."
        )
    jobs = [job for job in jobs if not job.is_complete]
    if not jobs:
        get_run_logger().warning(
            "%s has no recorded answer, and the list of batches shows none of that size and time.",
            call,
        )
        return None
    names = ", ".join(job.batch_id for job in jobs)
    return SubmissionUnknownError(
        f"{call} has no recorded answer. What it may have made goes on, and is billed: it is among "
        f"{names}. What no other program has made is cancelled by `meshflow-prefect cancel BATCH`.",
        candidates=[job.batch_id for job in jobs],
    )


async def _show_as_cancelled(prefect: PrefectClient, run_id: UUID, entries: list[Entry]) -> None:
    from uuid import UUID

    from prefect.exceptions import ObjectNotFound
    from prefect.states import Cancelled

    below = {
        nested for entry in entries for nested in entry.run_ids[: entry.run_ids.index(str(run_id))]
    }
    for nested in below:
        try:
            run = await prefect.read_flow_run(UUID(nested))
        except ObjectNotFound:
            continue
        if run.state is not None and run.state.is_paused():
            state: State = Cancelled(message="The run that called this one was cancelled.")
            await prefect.set_flow_run_state(run.id, state, force=True)
