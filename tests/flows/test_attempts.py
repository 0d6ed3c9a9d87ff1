"""Requests that met a passing error go into a further batch, alone; nothing is paid for twice."""

from __future__ import annotations

from decimal import Decimal

import pytest

from meshflow_prefect import (
    BatchResult,
    InvalidRequestError,
    batch_agent_tasks,
    total_cost,
)
from meshflow_prefect.pricing import cost_of
from tests.support.jobs import SOON, named

PASSING = ["api_error", "overloaded_error", "timeout_error", "rate_limit_error"]
LOST = {"accept": True, "drop": True}


def failing(row: int, error: str = "overloaded_error", **fields) -> dict:
    """What fails one row of the next batch."""
    return {
        "on": "rows",
        "custom_id": f"task-{row}-*",
        "outcome": "errored",
        "error": error,
        **fields,
    }


def sizes(emulator) -> list[int]:
    """The number of requests in each batch, in the order of their creation."""
    return [batch["requests"] for batch in emulator.batches()][::-1]


def rows(results: list[BatchResult]) -> list[str]:
    return [result.custom_id.rpartition("-")[0] for result in results]


async def run(count: int = 4, **options) -> list[BatchResult]:
    return await batch_agent_tasks(named(count), poll_interval=SOON, **options)


@pytest.mark.parametrize("error", PASSING)
async def test_rows_that_met_a_passing_error_are_sent_again_alone(emulator, error):
    emulator.plan(failing(1, error), failing(3, error))

    results = await run()

    assert sizes(emulator) == [4, 2]
    assert all(result.succeeded for result in results)


async def test_the_results_of_both_batches_are_in_the_order_of_the_tasks(emulator):
    emulator.plan(failing(2), failing(0))

    assert rows(await run()) == ["task-0", "task-1", "task-2", "task-3"]


async def test_each_result_says_in_how_many_batches_it_was(emulator):
    emulator.plan(failing(1))

    assert [result.attempts for result in await run()] == [1, 2, 1, 1]


async def test_rows_that_expired_are_sent_again(emulator):
    emulator.plan({"on": "rows", "custom_id": "task-1-*", "outcome": "expired"})

    results = await run()

    assert sizes(emulator) == [4, 1]
    assert (results[1].succeeded, results[1].attempts) == (True, 2)


async def test_rows_that_fail_every_time_are_in_no_more_batches_than_allowed(emulator):
    emulator.plan(failing(1, batches=None))

    results = await run(max_attempts=3)

    assert sizes(emulator) == [4, 1, 1]
    assert (results[1].error_type, results[1].attempts) == ("overloaded_error", 3)


async def test_one_attempt_is_one_batch(emulator):
    emulator.plan(failing(1))

    results = await run(max_attempts=1)

    assert sizes(emulator) == [4]
    assert [result.succeeded for result in results] == [True, False, True, True]


async def test_a_batch_that_failed_as_a_whole_is_sent_again_as_a_whole(emulator):
    emulator.plan({"on": "rows", "outcome": "errored", "error": "api_error"})

    results = await run()

    assert sizes(emulator) == [4, 4]
    assert [(result.succeeded, result.attempts) for result in results] == [(True, 2)] * 4


@pytest.mark.parametrize("error", ["invalid_request_error", "not_found_error", "permission_error"])
async def test_rows_that_would_fail_again_are_not_sent_again(emulator, error):
    emulator.plan(failing(1, error, batches=None))

    results = await run()

    assert sizes(emulator) == [4]
    assert (results[1].error_type, results[1].attempts) == (error, 1)


async def test_cancelled_rows_are_not_sent_again(emulator):
    emulator.plan({"on": "rows", "custom_id": "task-1-*", "outcome": "canceled"})

    assert (await run())[1].status == "canceled"
    assert sizes(emulator) == [4]


async def test_a_refusal_by_the_model_is_a_reply_and_is_not_asked_for_again(emulator):
    results = await batch_agent_tasks(["Say hello.", "[[refuse]]"], poll_interval=SOON)

    assert (results[1].succeeded, results[1].refused) == (True, True)
    assert sizes(emulator) == [2]


async def test_a_lost_answer_to_the_second_create_makes_no_third_batch(emulator):
    emulator.plan(failing(1), {"on": "create", "skip": 1, **LOST})

    results = await run()

    assert sizes(emulator) == [4, 1]
    assert [result.succeeded for result in results] == [True] * 4


async def test_a_lost_answer_to_a_second_create_of_all_rows_does_not_take_the_first_batch(emulator):
    """Both batches have the same requests under the same ids; only one is not in the ledger."""
    emulator.plan(
        {"on": "rows", "outcome": "errored", "error": "api_error"},
        {"on": "create", "skip": 1, **LOST},
    )

    results = await run()

    assert sizes(emulator) == [4, 4]
    assert [(result.succeeded, result.attempts) for result in results] == [(True, 2)] * 4


async def test_a_flow_that_is_retried_after_the_second_batch_makes_no_third_one(emulator):
    emulator.plan(failing(1), {"on": "results", "skip": 1, "status": 400})

    results = await batch_agent_tasks.with_options(retries=1)(named(4), poll_interval=SOON)

    assert emulator.faults()[1]["fired"] == 1
    assert sizes(emulator) == [4, 1]
    assert [result.attempts for result in results] == [1, 2, 1, 1]


async def test_a_failed_row_is_not_billed_and_the_costs_are_the_bill(emulator):
    emulator.plan(failing(1), failing(2, "invalid_request_error"))

    results = await run()

    billed = sum(
        (cost_of(model, usage) for model, usage in emulator.spend().items()), start=Decimal(0)
    )
    assert sizes(emulator) == [4, 1]
    assert results[2].cost_usd == 0
    assert total_cost(results) == billed > 0


@pytest.mark.parametrize("most", [0, -1])
async def test_a_number_of_attempts_that_is_none_is_refused_before_anything_is_sent(emulator, most):
    with pytest.raises(InvalidRequestError, match="max_attempts"):
        await run(max_attempts=most)
    assert sizes(emulator) == []
