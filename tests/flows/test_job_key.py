"""A job key: a later run with the same tasks collects what an earlier run has submitted."""

from __future__ import annotations

import asyncio

import pytest
from prefect import flow

from meshflow_prefect import (
    BatchResult,
    InvalidRequestError,
    JobKeyError,
    batch_agent_tasks,
    submit_batch,
)
from tests.support.jobs import SOON, named, requests


@pytest.fixture
def key(request) -> str:
    """A key of the test's own: the Prefect server is shared."""
    return f"invoices of {request.node.name} & more / ✓"


async def run(key: str, count: int = 3, **options) -> list[BatchResult]:
    return await batch_agent_tasks(named(count), job_key=key, poll_interval=SOON, **options)


async def started(key: str, count: int = 3) -> str:
    """Run the job, and return the id of the flow run."""
    state = await batch_agent_tasks(
        named(count), job_key=key, poll_interval=SOON, return_state=True
    )
    assert state.is_completed()
    return str(state.state_details.flow_run_id)


def messages(results: list[BatchResult]) -> list[str]:
    return [result.message["id"] for result in results]


async def test_a_second_run_collects_the_batch_of_the_first(emulator, key):
    first, second = await run(key), await run(key)

    assert messages(first) == messages(second)
    assert len(emulator.batches()) == 1


async def test_another_key_is_another_batch(emulator, key):
    first, second = await run(key), await run(f"{key} (again)")

    assert set(messages(first)).isdisjoint(messages(second))
    assert len(emulator.batches()) == 2


async def test_the_same_key_with_other_tasks_names_the_run_that_used_it(emulator, key):
    run_id = await started(key)

    with pytest.raises(JobKeyError, match=run_id) as refused:
        await run(key, count=4)

    assert refused.value.run_id == run_id
    assert "3 requests then, 4 now" in str(refused.value)
    assert len(emulator.batches()) == 1


async def test_the_same_key_with_another_prompt_is_other_tasks(emulator, key):
    await run(key)

    with pytest.raises(JobKeyError, match="Nothing was sent"):
        await run(key, system_prompt="You are terse.")
    assert len(emulator.batches()) == 1


async def test_two_runs_at_the_same_time_share_one_batch(emulator, key):
    first, second = await asyncio.gather(run(key), run(key))

    assert messages(first) == messages(second)
    assert len(emulator.batches()) == 1


async def test_a_second_run_shares_the_further_attempts_too(emulator, key):
    emulator.plan({"on": "rows", "custom_id": "task-1-*", "outcome": "errored"})

    first, second = await run(key), await run(key)

    assert messages(first) == messages(second)
    assert [batch["requests"] for batch in emulator.batches()] == [1, 3]


async def test_a_second_run_may_make_the_attempt_that_the_first_was_not_allowed(emulator, key):
    emulator.plan({"on": "rows", "custom_id": "task-1-*", "outcome": "errored"})

    await run(key, max_attempts=1)
    results = await run(key, max_attempts=2)

    assert [result.attempts for result in results] == [1, 2, 1]
    assert [batch["requests"] for batch in emulator.batches()] == [1, 3]


async def test_the_same_job_twice_in_one_run_is_one_batch(emulator, key):
    @flow
    async def twice() -> list[list[str]]:
        return [messages(await run(key)) for _ in range(2)]

    first, second = await twice()

    assert first == second
    assert len(emulator.batches()) == 1


async def test_a_flow_of_a_user_submits_under_a_key(emulator, key):
    @flow
    async def mine() -> str:
        return await submit_batch(requests(2), job_key=key)

    assert await mine() == await mine() == emulator.batches()[0]["id"]
    assert len(emulator.batches()) == 1


async def test_equal_requests_without_the_key_are_a_batch_of_their_own(emulator, key):
    """The batch of the key belongs to the key, though its record is in this run as well."""

    @flow
    async def first() -> str:
        await submit_batch(requests(1))
        return await submit_batch(requests(2), job_key=key)

    @flow
    async def second() -> list[str]:
        return [await submit_batch(requests(2), job_key=key), await submit_batch(requests(2))]

    of_key = await first()
    again, own = await second()

    assert again == of_key
    assert own != of_key
    assert len(emulator.batches()) == 3


async def test_a_key_without_a_flow_run_has_nowhere_to_be_recorded(emulator, key):
    with pytest.raises(InvalidRequestError, match="no flow run"):
        await submit_batch(requests(2), job_key=key)
    assert emulator.batches() == []


async def test_two_runs_at_the_same_time_share_the_further_attempts_too(emulator, key):
    emulator.plan({"on": "rows", "custom_id": "task-1-*", "outcome": "errored"})

    first, second = await asyncio.gather(run(key), run(key))

    assert messages(first) == messages(second)
    assert [batch["requests"] for batch in emulator.batches()] == [1, 3]


async def test_a_job_whose_answer_was_lost_is_found_by_the_next_run_too(emulator, key):
    emulator.plan({"on": "create", "accept": True, "drop": True})

    first, second = await asyncio.gather(run(key), run(key))

    assert messages(first) == messages(second)
    assert len(emulator.batches()) == 1
