"""Which batches go with a cancelled run, and with which key they are cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import get_client
from prefect.logging import get_run_logger

from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.heartbeat import sender_is_done
from meshflow_prefect.ledger import Entry, Ledger
from meshflow_prefect.lineage import lineage_of

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import State

RUN_RESOURCE = "prefect.flow-run."
"""What comes before a flow run's id where an event names it."""


async def batches_to_cancel(run_id: UUID) -> list[tuple[str, AnthropicCredentials]]:
    """Return the batches that a run, and the runs below it, submitted and do not want to keep.

    Shows the runs below it as cancelled too: they wait for nothing any more.
    """
    async with get_client() as prefect:
        ledger = Ledger(prefect, (await lineage_of(prefect, run_id)).root.id)
        entries = [e for e in await ledger.entries() if str(run_id) in e.run_ids]
        await _show_as_cancelled(prefect, run_id, entries)
        wanted = [e for e in entries if e.work.on_cancel == "cancel_batches"]
        settled = [await _settled(ledger, entry) for entry in wanted]
    keys = {block: await _key(block) for block in {entry.work.block for entry in settled}}
    return [
        (entry.batch_id, key)
        for entry in settled
        if entry.batch_id and (key := keys[entry.work.block]) is not None
    ]


async def _key(block: str) -> AnthropicCredentials | None:
    """Return the key that a batch was submitted with; None, with a warning, where it is gone."""
    try:
        return await AnthropicCredentials.aload(block) if block else AnthropicCredentials()
    except ValueError as error:
        get_run_logger().warning("Batches submitted with this key go on: %s", error)
        return None


async def _settled(ledger: Ledger, entry: Entry) -> Entry:
    """Return the entry when its create call, if one is under way, has been answered."""
    if entry.batch_id:
        return entry
    seen = await sender_is_done(ledger, entry)
    if seen is not None and not seen.batch_id:
        get_run_logger().warning(
            "The create call of %s requests at %s has no recorded answer: there may be a batch of "
            "that size and time. Look for it with `meshflow-prefect list`, and cancel it by its "
            "id: what is not proved to belong to the run is left alone.",
            f"{entry.work.requests:,}",
            entry.intended_at,
        )
    return seen or entry


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
