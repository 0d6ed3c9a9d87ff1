"""A task around a job that fails after it and is retried gets the batch that is paid for."""

from __future__ import annotations

import asyncio

import pytest
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from meshflow_prefect import batch_agent_tasks, submit_batch
from tests.support.jobs import SOON, named, requests


class Fails:
    """Fails as often as told: what comes after the job in a task."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            raise RuntimeError("The task fails after its job.")


def made(emulator) -> list[str]:
    return [batch["id"] for batch in emulator.batches()]


async def test_a_retried_task_that_runs_a_job_makes_no_second_batch(emulator):
    fails = Fails(2)

    @task(retries=2)
    async def step() -> int:
        rows = await batch_agent_tasks(named(2), poll_interval=SOON)
        fails()
        return len(rows)

    @flow
    async def root() -> int:
        return await step()

    assert await root() == 2
    assert fails.left == 0
    assert len(made(emulator)) == 1


async def test_a_retried_task_that_submits_makes_no_second_batch(emulator):
    fails = Fails(2)

    @task(retries=2)
    async def step() -> str:
        batch_id = await submit_batch(requests(2))
        fails()
        return batch_id

    @flow
    async def root() -> str:
        return await step()

    assert [await root()] == made(emulator)
    assert fails.left == 0


def test_a_retried_task_that_is_not_async_makes_no_second_batch(emulator):
    fails = Fails(2)

    @task(retries=2)
    def step() -> int:
        rows = asyncio.run(batch_agent_tasks(named(2), poll_interval=SOON))
        submitted = submit_batch.submit(requests(3)).result()
        fails()
        return len(rows) if submitted else 0

    @flow(task_runner=ThreadPoolTaskRunner())
    def root() -> int:
        return step.submit().result()

    assert root() == 2
    assert fails.left == 0
    assert len(made(emulator)) == 2


async def test_a_retried_task_gives_back_what_the_tasks_in_it_have_submitted(emulator):
    fails = Fails(1)

    @task
    async def inner() -> str:
        return await submit_batch(requests(2))

    @task(retries=1)
    async def outer() -> str:
        batch_id = await inner()
        fails()
        return batch_id

    @flow
    async def root() -> str:
        return await outer()

    assert [await root()] == made(emulator)
    assert fails.left == 0


async def test_a_retry_that_is_made_by_hand_gets_the_batch_of_the_task_that_failed(emulator):
    fails = Fails(1)

    @task
    async def step() -> str:
        batch_id = await submit_batch(requests(2))
        fails()
        return batch_id

    @flow
    async def root() -> str:
        try:
            return await step()
        except RuntimeError:
            return await step()

    assert [await root()] == made(emulator)


async def test_two_wanted_jobs_of_equal_content_in_a_task_make_two_batches_however_often_it_runs(
    emulator,
):
    fails = Fails(2)

    @task(retries=2)
    async def step() -> list[str]:
        batch_ids = [await submit_batch(requests(2)) for _ in range(2)]
        fails()
        return batch_ids

    @flow
    async def root() -> list[str]:
        return await step()

    assert sorted(await root()) == sorted(made(emulator))
    assert fails.left == 0
    assert len(made(emulator)) == 2


async def test_two_wanted_tasks_of_equal_content_make_two_batches(emulator):
    fails = Fails(1)

    @task(retries=1)
    async def step() -> str:
        batch_id = await submit_batch(requests(2))
        fails()
        return batch_id

    @flow
    async def root() -> list[str]:
        return [await step(), await step()]

    assert sorted(await root()) == sorted(made(emulator))
    assert len(made(emulator)) == 2


async def test_a_step_that_fails_and_is_caught_does_not_merge_two_wanted_jobs(emulator):
    """Prefect rolls the task around it back as well; it goes on, and may be retried itself."""
    fails = Fails(1)

    @task
    async def fails_inside() -> None:
        raise ValueError("This one is caught.")

    @task(retries=1)
    async def step() -> list[str]:
        batch_ids = [await submit_batch(requests(2))]
        with pytest.raises(ValueError, match="caught"):
            await fails_inside()
        batch_ids.append(await submit_batch(requests(2)))
        fails()
        return batch_ids

    @flow
    async def root() -> list[str]:
        return await step()

    assert sorted(await root()) == sorted(made(emulator))
    assert fails.left == 0
    assert len(made(emulator)) == 2
