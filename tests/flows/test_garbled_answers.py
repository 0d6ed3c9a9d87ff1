"""An answer of the API that ends too early, as if it were complete, is one that was not given."""

from __future__ import annotations

import asyncio

import pytest

from meshflow_prefect import SubmissionUnknownError, batch_agent_tasks, submit_batch
from tests.support.jobs import SOON, named, requests, stepped
from tests.support.processes import wait_until

CREATE = "POST /v1/messages/batches"
HALF = {"truncate_after": 40}


@stepped
async def test_half_an_answer_about_a_batch_does_not_end_the_wait(emulator):
    emulator.plan({"on": "retrieve", "skip": 1, "times": 3, **HALF})

    def told() -> bool:
        return waiting.done() or emulator.faults()[0]["fired"] == 3

    waiting = asyncio.create_task(batch_agent_tasks(named(3), poll_interval=SOON))
    await asyncio.to_thread(wait_until, told, "three answers were cut", limit=60)
    emulator.advance(61)

    assert [result.succeeded for result in await waiting] == [True] * 3
    assert emulator.state()["calls"][CREATE] == 1


async def test_half_an_answer_to_a_create_is_a_lost_one_whose_batch_is_found(emulator):
    emulator.plan({"on": "create", **HALF})

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert len(emulator.batches()) == 1


async def test_half_an_answer_to_a_create_outside_of_a_flow_says_that_there_may_be_a_batch(
    emulator,
):
    emulator.plan({"on": "create", **HALF})

    with pytest.raises(SubmissionUnknownError, match="there may be a batch"):
        await submit_batch(requests(2))


async def test_half_a_list_is_asked_for_again_while_a_lost_batch_is_looked_for(emulator):
    emulator.plan(
        {"on": "create", "accept": True, "drop": True}, {"on": "list", "times": 2, **HALF}
    )

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert len(emulator.batches()) == 1
