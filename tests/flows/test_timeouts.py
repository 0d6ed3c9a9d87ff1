"""A timeout ends the wait, not the batch: whoever waits again collects it."""

from __future__ import annotations

import asyncio

import pytest
from prefect import flow

from meshflow_prefect import (
    BatchResult,
    BatchWaitTimeoutError,
    InvalidRequestError,
    batch_agent_tasks,
)
from tests.support.jobs import SOON, named, stepped

CREATE = "POST /v1/messages/batches"
CANCEL = "POST /v1/messages/batches/{id}/cancel"
AT_ONCE = {"retry-after-ms": "1"}
"""So that the SDK does not pause between its own attempts."""


async def run(**options) -> list[BatchResult]:
    return await batch_agent_tasks(named(3), **{"poll_interval": SOON, **options})


def check_nothing_was_done_twice(emulator) -> None:
    calls = emulator.state()["calls"]
    assert calls[CREATE] == len(emulator.batches()) == 1
    assert CANCEL not in calls


@stepped
async def test_a_timeout_names_the_batch_and_lets_it_go_on(emulator):
    with pytest.raises(BatchWaitTimeoutError, match="was not cancelled") as late:
        await run(timeout=0.5)

    (batch,) = emulator.batches()
    assert late.value.batch_id == batch["id"]
    assert batch["status"] == late.value.status == "in_progress"
    check_nothing_was_done_twice(emulator)


@stepped
async def test_a_retry_after_the_timeout_collects_the_batch_that_has_ended_meanwhile(emulator):
    attempts = []

    @flow(retries=1)
    async def impatient() -> list[BatchResult]:
        attempts.append(len(attempts))
        if len(attempts) == 2:
            emulator.advance(61)
        return await run(timeout=0.5)

    results = await impatient()

    assert attempts == [0, 1]
    assert [result.succeeded for result in results] == [True] * 3
    check_nothing_was_done_twice(emulator)


@stepped
async def test_a_timeout_passes_too_where_anthropic_never_answers(emulator):
    emulator.plan({"on": "retrieve", "status": 503, "headers": AT_ONCE, "times": None})

    with pytest.raises(BatchWaitTimeoutError, match="No answer by") as late:
        await run(timeout=0.5)

    assert late.value.batch_id == emulator.batches()[0]["id"]
    check_nothing_was_done_twice(emulator)


@pytest.mark.parametrize("name", ["timeout", "poll_interval"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e18])
async def test_a_time_that_is_none_is_refused_before_anything_is_sent(emulator, name, seconds):
    with pytest.raises(InvalidRequestError, match=f"{name}: must be"):
        await asyncio.wait_for(run(**{name: seconds}), 30)

    assert emulator.batches() == []
