"""Whatever goes wrong while a run waits, its batch is neither cancelled nor sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson
import pytest
from anthropic import AsyncAnthropic
from prefect import flow, get_client
from prefect.runtime import flow_run

from meshflow_prefect import (
    BatchNotFoundError,
    BatchResult,
    CredentialsError,
    batch_agent_tasks,
    collect_results,
    poll_batch,
    submit_batch,
)
from tests.support.jobs import SOON, named, requests, stepped
from tests.support.processes import wait_until

CREATE = "POST /v1/messages/batches"
RETRIEVE = "GET /v1/messages/batches/{id}"
CANCEL = "POST /v1/messages/batches/{id}/cancel"
AT_ONCE = {"retry-after-ms": "1"}
"""So that the SDK does not pause between its own attempts."""


async def run(**options) -> list[BatchResult]:
    return await batch_agent_tasks(named(3), **{"poll_interval": SOON, **options})


async def ends_once(emulator, condition: Callable[[], object], what: str) -> None:
    """End all batches when something has happened."""
    await asyncio.to_thread(wait_until, condition, what, limit=60)
    emulator.advance(61)


def fired(emulator) -> int:
    return emulator.faults()[0]["fired"]


def asked(emulator) -> int:
    return emulator.state()["calls"].get(RETRIEVE, 0)


def check_nothing_was_done_twice(emulator) -> None:
    calls = emulator.state()["calls"]
    assert calls[CREATE] == len(emulator.batches()) == 1
    assert CANCEL not in calls


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "headers": AT_ONCE, "times": 30},
        {"status": 503, "headers": AT_ONCE, "times": 30},
        {"status": 529, "headers": AT_ONCE, "times": 30},
        {"status": 429, "headers": AT_ONCE, "times": 30},
        {"status": 408, "headers": AT_ONCE, "times": 30},
        {"drop": True, "times": 6},
        {"cut_after": 20, "times": 6},
        # The list of batches shows that it exists.
        {"status": 404, "times": 2},
    ],
    ids=lambda fault: str(fault.get("status") or next(iter(fault))),
)
@stepped
async def test_faults_of_many_checks_do_not_end_the_wait(emulator, fault):
    emulator.plan({"on": "retrieve", "skip": 1, **fault})

    results, _ = await asyncio.gather(
        run(),
        ends_once(emulator, lambda: fired(emulator) == fault["times"], "all checks have failed"),
    )

    assert [result.succeeded for result in results] == [True] * 3
    check_nothing_was_done_twice(emulator)


@stepped
async def test_an_api_that_is_away_for_a_while_does_not_end_the_wait(emulator):
    async def goes_away_and_comes_back() -> None:
        await asyncio.to_thread(wait_until, lambda: asked(emulator), "a first check", limit=60)
        emulator.go_away(30)
        seen = asked(emulator)
        await ends_once(emulator, lambda: asked(emulator) >= seen + 4, "checks that fail")

    results, _ = await asyncio.gather(run(), goes_away_and_comes_back())

    assert [result.succeeded for result in results] == [True] * 3
    check_nothing_was_done_twice(emulator)


@stepped
async def test_a_batch_that_is_not_visible_just_after_its_creation_is_waited_for(emulator):
    emulator.plan(
        {"on": "retrieve", "status": 404, "times": 3},
        {"on": "list", "status": 503, "headers": AT_ONCE, "times": 6},
    )

    results, _ = await asyncio.gather(
        run(), ends_once(emulator, lambda: fired(emulator) == 3, "three times 404")
    )

    assert [result.succeeded for result in results] == [True] * 3
    check_nothing_was_done_twice(emulator)


async def made_minutes_ago() -> None:
    """Have the ledger of this run say that its batch was submitted two minutes ago."""
    key, root = "meshflow-intent-00000", flow_run.root_flow_run_id
    async with get_client() as prefect:
        intent = orjson.loads(await prefect.read_flow_run_input(root, key))
        earlier = datetime.fromisoformat(intent["intended_at"]) - timedelta(minutes=2)
        intent["intended_at"] = earlier.isoformat()
        await prefect.delete_flow_run_input(root, key)
        await prefect.create_flow_run_input(root, key, orjson.dumps(intent).decode())


async def test_a_batch_that_someone_deleted_is_said_to_be_deleted_and_not_made_again(emulator):
    submitted = []

    @flow(retries=1)
    async def replayed() -> None:
        batch_id = await submit_batch(requests(2))
        submitted.append(batch_id)
        await poll_batch(batch_id, poll_interval=SOON)
        async with AsyncAnthropic() as other:
            await other.messages.batches.delete(batch_id)
        await made_minutes_ago()
        raise RuntimeError("The flow fails after its wait.")

    with pytest.raises(BatchNotFoundError, match=r"deleted.*Nothing was sent again") as gone:
        await replayed()

    assert gone.value.batch_id == submitted[0]
    assert submitted == [submitted[0]] * 2
    assert emulator.batches() == []
    assert emulator.state()["calls"][CREATE] == 1


@pytest.mark.parametrize("status", [401, 403])
@stepped
async def test_a_key_that_is_refused_in_mid_wait_ends_it_at_once(emulator, status):
    emulator.plan({"on": "retrieve", "skip": 1, "status": status, "times": None})

    with pytest.raises(CredentialsError, match=f"refused the key: {status}"):
        await run()

    assert asked(emulator) == 2
    check_nothing_was_done_twice(emulator)


@stepped
async def test_a_run_whose_key_was_refused_collects_its_batch_when_it_is_retried(emulator):
    emulator.plan({"on": "retrieve", "status": 401})

    results, _ = await asyncio.gather(
        batch_agent_tasks.with_options(retries=1)(named(3), poll_interval=SOON),
        ends_once(emulator, lambda: asked(emulator) > 1, "the second attempt waits"),
    )

    assert [result.succeeded for result in results] == [True] * 3
    check_nothing_was_done_twice(emulator)


async def test_a_404_for_a_batch_of_this_run_that_has_ended_does_not_cost_its_results(emulator):
    """The same passing answer as in the wait, a moment later."""

    @flow
    async def collects() -> list[BatchResult]:
        batch_id = await submit_batch(requests(3))
        await poll_batch(batch_id, poll_interval=SOON)
        emulator.plan({"on": "retrieve", "status": 404})
        return await collect_results.with_options(retry_delay_seconds=0)(batch_id, requests(3))

    assert [result.succeeded for result in await collects()] == [True] * 3
    check_nothing_was_done_twice(emulator)
