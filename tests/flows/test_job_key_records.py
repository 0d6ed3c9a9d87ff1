"""What holds a job key: a variable of Prefect, and the record of the run that was first."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from anthropic import AsyncAnthropic
from prefect import flow, get_client
from prefect.client.schemas.actions import VariableUpdate
from prefect.runtime import flow_run

from meshflow_prefect import (
    BatchResult,
    BatchWaitTimeoutError,
    CredentialsError,
    JobKeyError,
    SubmissionRefusedError,
    batch_agent_tasks,
    poll_batch,
    submit_batch,
)
from meshflow_prefect.job_keys import variable_name
from tests.support.jobs import SOON, named, requests, stepped

AT_ONCE = {"retry-after-ms": "1"}
"""So that the SDK does not pause between its own attempts."""


@pytest.fixture
def key(request) -> str:
    """A key of the test's own: the Prefect server is shared."""
    return f"orders of {request.node.name}"


async def run(key: str, count: int = 3) -> list[BatchResult]:
    return await batch_agent_tasks(named(count), job_key=key, poll_interval=SOON)


async def started(key: str) -> str:
    """Run the job, and return the id of the flow run."""
    state = await batch_agent_tasks(named(3), job_key=key, poll_interval=SOON, return_state=True)
    return str(state.state_details.flow_run_id)


def messages(results: list[BatchResult]) -> list[str]:
    return [result.message["id"] for result in results]


async def record(key: str) -> dict:
    """What the Prefect variable of a key says."""
    async with get_client() as prefect:
        return (await prefect.read_variable_by_name(variable_name(key))).value


async def age_key(key: str, days: float) -> None:
    """Let the key have been taken so long ago."""
    value = await record(key)
    taken_at = datetime.now(UTC) - timedelta(days=days)
    async with get_client() as prefect:
        await prefect.update_variable(
            VariableUpdate(
                name=variable_name(key), value={**value, "taken_at": taken_at.isoformat()}
            )
        )


async def age_intent(root_id: str, days: float) -> None:
    """Let the first submission of a run have been meant so long ago."""
    name, root = "meshflow-intent-00000", UUID(root_id)
    async with get_client() as prefect:
        intent = orjson.loads(await prefect.read_flow_run_input(root, name))
        earlier = datetime.fromisoformat(intent["intended_at"]) - timedelta(days=days)
        intent["intended_at"] = earlier.isoformat()
        await prefect.delete_flow_run_input(root, name)
        await prefect.create_flow_run_input(root, name, orjson.dumps(intent).decode())


async def test_the_variable_holds_no_key_of_anthropic(key):
    secret = "sk-ant-secret-of-this-test-0123456789"

    state = await batch_agent_tasks(
        named(2), job_key=key, api_key=secret, poll_interval=SOON, return_state=True
    )

    value = await record(key)
    assert value["root_id"] == str(state.state_details.flow_run_id)
    assert "sk-ant" not in json.dumps(value)


async def test_a_key_whose_run_was_deleted_says_what_to_do(emulator, key):
    run_id = await started(key)
    async with get_client() as prefect:
        await prefect.delete_flow_run(UUID(run_id))

    with pytest.raises(JobKeyError, match=f"{run_id} that submitted this job was deleted") as gone:
        await run(key)

    for advice in ("meshflow-prefect list", "batch_ids=", variable_name(key), "another key"):
        assert advice in str(gone.value)
    assert len(emulator.batches()) == 1


async def test_the_advice_for_a_deleted_run_works(emulator, key):
    run_id = await started(key)
    async with get_client() as prefect:
        await prefect.delete_flow_run(UUID(run_id))
        await prefect.delete_variable_by_name(variable_name(key))

    assert len(await run(key)) == 3
    assert len(emulator.batches()) == 2


async def test_a_key_is_free_again_when_the_results_are_gone(emulator, key):
    await age_intent(await started(key), days=29.1)
    emulator.advance(timedelta(days=29.1).total_seconds())

    assert len(await run(key, count=4)) == 4
    assert [batch["requests"] for batch in emulator.batches()] == [4, 3]

    second = await run(key, count=4)
    assert [result.succeeded for result in second] == [True] * 4
    assert len(emulator.batches()) == 2


async def test_a_key_is_free_again_when_the_batch_was_deleted(emulator, key):
    root_id = await started(key)
    await age_intent(root_id, days=29.1)
    async with AsyncAnthropic() as sdk:
        await sdk.messages.batches.delete(emulator.batches()[0]["id"])

    assert len(await run(key, count=4)) == 4


async def test_a_key_is_held_as_long_as_there_are_results(emulator, key):
    """However long ago it was taken, and the batch was meant: it may have been refused for days."""
    root_id = await started(key)
    first = await run(key)
    await age_key(key, days=40)
    await age_intent(root_id, days=30)

    assert messages(await run(key)) == messages(first)
    assert len(emulator.batches()) == 1


async def test_a_key_whose_run_was_deleted_long_ago_is_free_again(emulator, key):
    run_id = await started(key)
    await age_key(key, days=29.1)
    async with get_client() as prefect:
        await prefect.delete_flow_run(UUID(run_id))

    assert len(await run(key)) == 3
    assert len(emulator.batches()) == 2


async def test_of_two_parts_the_one_whose_results_are_gone_is_submitted_anew(emulator, key):
    @flow
    async def two_parts() -> list[str]:
        parts = {"old": requests(2), "young": requests(3)}
        made = [await submit_batch(parts[part], job_key=key, part=part) for part in parts]
        for batch_id in made:
            await poll_batch(batch_id, poll_interval=SOON)
        return made

    state = await two_parts(return_state=True)
    old, young = await state.aresult()
    await age_intent(str(state.state_details.flow_run_id), days=29.1)
    async with AsyncAnthropic() as sdk:
        await sdk.messages.batches.delete(old)

    again = await two_parts()
    assert again[0] not in (old, young)
    assert again[1] == young
    assert await two_parts() == again


async def test_a_job_that_was_refused_leaves_its_key_to_the_corrected_one(emulator, key):
    """Nothing was made under the key, so that there is nothing that it could name."""
    emulator.plan({"on": "create", "status": 400})
    with pytest.raises(SubmissionRefusedError):
        await run(key)

    assert len(await run(key, count=4)) == 4
    assert [batch["requests"] for batch in emulator.batches()] == [4]


async def test_a_run_that_has_its_batch_does_not_need_the_run_that_was_first_any_more(
    emulator, key
):
    """While a run waits for a day, the run that submitted may be cleaned up."""
    first = []

    @flow(retries=1)
    async def mine() -> str:
        batch_id = await submit_batch(requests(2), job_key=key)
        if first:
            async with get_client() as prefect:
                await prefect.delete_flow_run(UUID(first.pop()))
            raise RuntimeError("The flow fails after it has found its batch.")
        return batch_id

    @flow
    async def earlier() -> str:
        first.append(str(flow_run.id))
        return await submit_batch(requests(2), job_key=key)

    assert await earlier() == await mine()
    assert len(emulator.batches()) == 1


async def test_a_job_whose_anthropic_key_was_refused_is_submitted_by_the_next_run(emulator, key):
    emulator.plan({"on": "create", "status": 401})
    with pytest.raises(CredentialsError):
        await run(key)

    assert len(await run(key)) == 3
    assert len(emulator.batches()) == 1


@stepped
async def test_a_timeout_counts_from_the_creation_also_where_another_run_submitted(emulator, key):
    """Where Anthropic cannot be asked, the record says when that was."""

    @flow
    async def two_minutes_ago() -> None:
        await submit_batch(requests(2), job_key=key)
        await age_intent(flow_run.root_flow_run_id, days=2 / (24 * 60))

    @flow
    async def impatient() -> None:
        batch_id = await submit_batch(requests(2), job_key=key)
        await poll_batch(batch_id, poll_interval=SOON, timeout=60)

    await two_minutes_ago()
    emulator.plan({"on": "retrieve", "status": 503, "headers": AT_ONCE, "times": None})

    with pytest.raises(BatchWaitTimeoutError, match="No answer by"):
        await asyncio.wait_for(impatient(), 30)
