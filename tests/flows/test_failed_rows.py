"""How a run ends whose rows have failed for good: with results, or with an error that has them."""

from __future__ import annotations

import pytest

from meshflow_prefect import BatchFailedError, BatchResult, batch_agent_tasks
from tests.support.jobs import SOON, named


def failing(row: int, error: str = "overloaded_error", **fields) -> dict:
    """What fails one row of the next batch."""
    chosen = {"custom_id": f"task-{row}-*", "outcome": "errored", "error": error}
    return {"on": "rows", **chosen, **fields}


async def run(**options) -> list[BatchResult]:
    return await batch_agent_tasks(named(4), poll_interval=SOON, **options)


async def test_more_failed_rows_than_allowed_are_an_error_that_holds_every_result(emulator):
    emulator.plan(failing(1, batches=None))

    with pytest.raises(BatchFailedError, match="1 of 4 requests failed") as failed:
        await run(on_failure="raise")

    made = [batch["id"] for batch in emulator.batches()][::-1]
    assert failed.value.batch_ids == made
    assert len(made) == 2
    assert [row.custom_id[:6] for row in failed.value.results] == [f"task-{n}" for n in range(4)]
    assert [result.succeeded for result in failed.value.results] == [True, False, True, True]


@pytest.mark.parametrize(("threshold", "raises"), [(0.25, False), (0.24, True)])
async def test_as_many_failed_rows_as_are_allowed_are_results(emulator, threshold, raises):
    emulator.plan(failing(1, "invalid_request_error"))
    options = {"on_failure": "raise", "failure_threshold": threshold}

    if raises:
        with pytest.raises(BatchFailedError):
            await run(**options)
    else:
        assert len(await run(**options)) == 4


async def test_rows_that_succeed_in_the_end_have_not_failed(emulator):
    emulator.plan(failing(1))

    assert len(await run(on_failure="raise")) == 4


async def test_a_run_that_failed_for_its_rows_makes_no_batch_when_it_is_retried(emulator):
    emulator.plan(failing(1, batches=None))

    with pytest.raises(BatchFailedError):
        await batch_agent_tasks.with_options(retries=1)(
            named(4), poll_interval=SOON, on_failure="raise"
        )

    assert [batch["requests"] for batch in emulator.batches()] == [1, 4]


async def test_a_second_create_that_was_refused_for_good_costs_no_result(emulator):
    """The first batch is paid for: a retry of the run has its rows, and makes the second one."""
    emulator.plan(failing(1), {"on": "create", "skip": 1, "status": 400})

    results = await batch_agent_tasks.with_options(retries=1)(named(4), poll_interval=SOON)

    assert [result.attempts for result in results] == [1, 2, 1, 1]
    assert [batch["requests"] for batch in emulator.batches()] == [1, 4]
