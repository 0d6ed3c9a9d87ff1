"""A replay reads other rows than the first time: what was sent again already is collected."""

from __future__ import annotations

from prefect import flow

from meshflow_prefect import BatchResult, batch_agent_tasks
from tests.support.jobs import SOON, named

READINGS = 3
"""How often a file that lacks rows is read, before it is taken as it is."""


def fails(row: int) -> dict:
    return {"on": "rows", "custom_id": f"task-{row}-*", "outcome": "errored"}


def forgotten(row: int) -> dict:
    """A row that one whole collection does not get to see."""
    return {"on": "rows", "custom_id": f"task-{row}-*", "damage": "forget", "times": READINGS}


SECOND_BATCH_UNREADABLE = {"on": "results", "skip": READINGS, "status": 400}


async def test_a_row_that_could_be_read_only_at_the_retry_does_not_undo_the_second_batch(emulator):
    emulator.plan(fails(1), fails(2), forgotten(2), SECOND_BATCH_UNREADABLE)

    results = await batch_agent_tasks.with_options(retries=1)(named(4), poll_interval=SOON)

    assert emulator.faults()[3]["fired"] == 1
    assert [batch["requests"] for batch in emulator.batches()][-2:] == [1, 4]
    assert [result.custom_id[:6] for result in results] == [f"task-{n}" for n in range(4)]
    assert results[1].succeeded


async def test_another_row_that_cannot_be_read_at_the_retry_does_not_undo_the_second_batch(
    emulator,
):
    """As many rows as before are to be sent again, and they are others."""
    emulator.plan(fails(1), fails(2), forgotten(2), SECOND_BATCH_UNREADABLE)
    attempts = []

    @flow(retries=1)
    async def retried() -> list[BatchResult]:
        attempts.append(len(attempts))
        if len(attempts) == 2:
            emulator.plan(forgotten(1))
        return await batch_agent_tasks(named(4), poll_interval=SOON)

    results = await retried()

    assert attempts == [0, 1]
    assert results[1].succeeded
