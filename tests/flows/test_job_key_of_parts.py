"""A job key stands for one job, also within a run and where the job has several parts."""

from __future__ import annotations

import asyncio

import pytest
from prefect import flow
from prefect.runtime import flow_run

from meshflow_prefect import (
    BatchRequest,
    BatchResult,
    JobKeyError,
    RunCancelledError,
    batch_agent_tasks,
    poll_batch,
    submit_batch,
)
from tests.support.jobs import SOON, named, requests, stepped
from tests.support.processes import wait_until


@pytest.fixture
def key(request) -> str:
    """A key of the test's own: the Prefect server is shared."""
    return f"parts of {request.node.name}"


async def run(key: str) -> list[BatchResult]:
    return await batch_agent_tasks(named(3), job_key=key, poll_interval=SOON)


async def test_two_jobs_of_one_run_under_one_key_are_not_taken_for_one(emulator, key):
    @flow
    async def careless() -> list[BatchResult]:
        await run(key)
        return await batch_agent_tasks(
            ["Sing.", "Dance.", "Rest."], job_key=key, poll_interval=SOON
        )

    with pytest.raises(JobKeyError, match="Nothing was sent"):
        await careless()
    assert len(emulator.batches()) == 1


async def test_a_later_part_with_other_content_is_not_taken_for_the_earlier_one(emulator, key):
    @flow
    async def in_two_parts(second: str) -> list[str]:
        changed = [BatchRequest("row-0", second)]
        return [
            await submit_batch(requests(2), job_key=key, part="one"),
            await submit_batch(changed, job_key=key, part="two"),
        ]

    assert len(set(await in_two_parts("Sing."))) == 2

    with pytest.raises(JobKeyError, match="Nothing was sent"):
        await in_two_parts("Dance.")
    assert len(emulator.batches()) == 2


async def test_a_later_run_collects_every_part(emulator, key):
    @flow
    async def in_two_parts() -> list[str]:
        return [await submit_batch(requests(2), job_key=key, part=part) for part in ("one", "two")]

    first, second = await in_two_parts(), await in_two_parts()

    assert first == second
    assert len(set(first)) == len(emulator.batches()) == 2


@stepped
@pytest.mark.parametrize("keeps", [True, False])
async def test_a_run_that_is_cancelled_does_with_a_shared_batch_what_it_was_told(
    stack, emulator, key, keeps
):
    """Each run says for itself what its cancellation does, whatever the first run said."""
    told = {True: "keep", False: "cancel_batches"}
    waiting: list[str] = []

    @flow
    async def first() -> str:
        return await submit_batch(requests(2), job_key=key, on_cancel=told[not keeps])

    @flow
    async def second() -> None:
        batch_id = await submit_batch(requests(2), job_key=key, on_cancel=told[keeps])
        waiting.append(str(flow_run.id))
        await poll_batch(batch_id, poll_interval=SOON)

    async def cancel() -> None:
        await asyncio.to_thread(wait_until, lambda: waiting, "the second run waits", limit=60)
        await asyncio.to_thread(stack.cancel, waiting[0])

    await first()
    outcome, _ = await asyncio.gather(second(), cancel(), return_exceptions=True)

    assert isinstance(outcome, RunCancelledError)
    assert emulator.batches()[0]["status"] == ("in_progress" if keeps else "canceling")
