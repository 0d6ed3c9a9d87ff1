"""Lists of requests that are more than one batch holds go into several, in order all the same."""

from __future__ import annotations

import re

import pytest
from prefect import flow

from meshflow_prefect import BatchRequest, batch_agent_tasks, batch_requests
from meshflow_prefect.errors import (
    BatchFailedError,
    BatchTooLargeError,
    InvalidRequestError,
    JobKeyError,
)
from tests.support.files import numbers, sizes
from tests.support.jobs import SOON, named
from tests.support.jobs import requests as requested

SMALL = {"poll_interval": SOON, "max_requests_per_batch": 3}


def failing(pattern: str, **fields) -> dict:
    return {"on": "rows", "custom_id": pattern, "outcome": "errored", **fields}


def named_numbers(results) -> list[int]:
    return numbers({"output": result.output} for result in results)


async def test_tasks_go_into_several_batches_and_results_come_in_their_order(emulator):
    results = await batch_agent_tasks(named(8), **SMALL)

    assert sizes(emulator) == [3, 3, 2]
    assert named_numbers(results) == list(range(8))
    ids = [re.fullmatch(r"task-(\d+)-([0-9a-f]{12})", r.custom_id).groups() for r in results]
    assert [position for position, _ in ids] == [str(n) for n in range(8)]
    assert len({job for _, job in ids}) == 1


async def test_requests_go_into_several_batches_under_their_own_ids(emulator):
    results = await batch_requests(requested(7), **SMALL)

    assert sizes(emulator) == [3, 3, 1]
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(7)]
    assert named_numbers(results) == list(range(7))


@pytest.mark.anthropic_emulator(batch_seconds=0.2, maximum_bytes=1_000)
async def test_bytes_are_a_limit_too(emulator):
    results = await batch_requests(requested(12), poll_interval=SOON, max_bytes_per_batch=1_000)

    assert len(sizes(emulator)) > 1
    assert named_numbers(results) == list(range(12))


@pytest.mark.anthropic_emulator(batch_seconds=0.3, queue_limit=6)
async def test_the_queue_is_not_asked_for_more_than_it_may_hold(emulator):
    results = await batch_agent_tasks(named(12), max_requests_in_queue=6, **SMALL)

    assert sizes(emulator) == [3] * 4
    assert emulator.state()["calls"]["POST /v1/messages/batches"] == 4
    assert named_numbers(results) == list(range(12))


async def test_follow_ups_go_by_their_chunk_and_results_stay_in_order(emulator):
    emulator.plan(failing("task-1-*"), failing("task-4-*"), failing("task-7-*"))

    results = await batch_agent_tasks(named(8), **SMALL)

    assert sorted(sizes(emulator)) == [1, 1, 1, 2, 3, 3]
    assert named_numbers(results) == list(range(8))
    assert [result.attempts for result in results] == [1, 2, 1, 1, 2, 1, 1, 2]


async def test_further_attempts_of_requests_have_their_own_ids(emulator):
    emulator.plan(failing("row-5"), failing("row-0"))

    results = await batch_requests(requested(6), **SMALL)

    assert sorted(sizes(emulator)) == [1, 1, 3, 3]
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(6)]
    assert [result.attempts for result in results] == [2, 1, 1, 1, 1, 2]


async def test_failures_are_counted_over_all_batches(emulator):
    emulator.plan(failing("task-7-*", error="invalid_request_error"))

    with pytest.raises(BatchFailedError, match="1 of 8 requests failed") as failed:
        await batch_agent_tasks(named(8), on_failure="raise", **SMALL)

    assert failed.value.batch_ids == [batch["id"] for batch in emulator.batches()][::-1]
    assert len(failed.value.results) == 8


@pytest.mark.parametrize("job", ["tasks", "requests"])
async def test_a_flow_that_fails_after_it_and_is_retried_makes_no_further_batch(emulator, job):
    emulator.plan(failing("task-1-*"), failing("row-1"))
    attempts = []

    @flow(retries=1)
    async def outer() -> list[int]:
        if job == "tasks":
            results = await batch_agent_tasks(named(8), **SMALL)
        else:
            results = await batch_requests(requested(8), **SMALL)
        attempts.append(results)
        if len(attempts) == 1:
            raise RuntimeError("The flow fails after its batches.")
        return named_numbers(results)

    assert await outer() == list(range(8))
    assert len(attempts) == 2
    assert attempts[0] == attempts[1]
    assert sorted(sizes(emulator)) == [1, 2, 3, 3]


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
async def test_a_run_that_fails_at_any_of_its_batches_collects_them_all_when_retried(
    emulator, skip
):
    emulator.plan(failing("task-1-*"), {"on": "results", "skip": skip, "status": 400})

    results = await batch_agent_tasks.with_options(retries=1)(named(8), **SMALL)

    assert emulator.faults()[1]["fired"] == 1
    assert sorted(sizes(emulator)) == [1, 2, 3, 3]
    assert named_numbers(results) == list(range(8))
    assert [result.attempts for result in results] == [1, 2, 1, 1, 1, 1, 1, 1]


async def test_a_create_that_is_lost_in_the_middle_is_found(emulator):
    emulator.plan({"on": "create", "skip": 1, "accept": True, "drop": True})

    results = await batch_agent_tasks(named(8), **SMALL)

    assert sizes(emulator) == [3, 3, 2]
    assert named_numbers(results) == list(range(8))


async def test_equal_tasks_in_several_chunks_are_batches_of_their_own(emulator):
    results = await batch_agent_tasks(["Name the number 1."] * 6, **SMALL)

    assert sizes(emulator) == [3, 3]
    assert named_numbers(results) == [1] * 6


async def test_a_later_run_with_the_same_key_makes_no_batch(emulator, request):
    emulator.plan(failing("task-4-*"))

    first = await batch_agent_tasks(named(8), job_key=request.node.name, **SMALL)
    second = await batch_agent_tasks(named(8), job_key=request.node.name, **SMALL)

    assert sorted(sizes(emulator)) == [1, 2, 3, 3]
    assert second == first


@pytest.mark.parametrize("count", [3, 7, 9, 10])
async def test_a_key_of_another_job_is_refused_where_its_first_chunk_is_the_same(
    emulator, request, count
):
    await batch_agent_tasks(named(8), job_key=request.node.name, **SMALL)

    with pytest.raises(JobKeyError, match="for other content"):
        await batch_agent_tasks(named(count), job_key=request.node.name, **SMALL)

    assert sizes(emulator) == [3, 3, 2]


async def test_a_request_that_no_batch_holds_is_named_before_anything_is_sent(emulator):
    requests = [*requested(5), BatchRequest("huge", "x" * 2_000)]

    with pytest.raises(BatchTooLargeError, match=r"Request 5 \('huge'\) takes 2,\d+ bytes"):
        await batch_requests(requests, poll_interval=SOON, max_bytes_per_batch=2_000)
    assert emulator.batches() == []


async def test_an_id_that_occurs_in_two_chunks_is_refused_before_anything_is_sent(emulator):
    with pytest.raises(InvalidRequestError, match="'row-0' occurs twice: requests 0 and 5"):
        await batch_requests([*requested(5), *requested(1)], **SMALL)
    assert emulator.batches() == []
