"""What a direct call leaves behind in Prefect: no key, a summary of large input, and the result."""

from __future__ import annotations

import json

import pytest
from prefect import flow
from prefect.exceptions import ParameterTypeError
from pydantic import SecretStr

from meshflow_prefect import (
    AnthropicCredentials,
    CredentialsError,
    batch_agent_tasks,
)
from tests.support.jobs import KEY, SOON, named, run_of


@pytest.mark.parametrize("options", [{}, {"name": "mine"}, {"retries": 1}])
async def test_a_key_given_directly_is_used_and_not_stored(stack, emulator, monkeypatch, options):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-invalid")
    mine = batch_agent_tasks.with_options(**options)

    state = await mine(["Hello."], api_key=KEY, poll_interval=SOON, return_state=True)

    assert (await state.aresult())[0].succeeded
    stored = run_of(stack, state).parameters
    assert stored["api_key"] == "**********"
    assert stored["tasks"] == ["Hello."]
    assert KEY not in json.dumps(stored)


async def test_a_key_given_as_a_secret_is_used_and_not_stored(stack, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    state = await batch_agent_tasks(
        ["Hello."], api_key=SecretStr(KEY), poll_interval=SOON, return_state=True
    )

    assert (await state.aresult())[0].succeeded
    assert run_of(stack, state).parameters["api_key"] == "**********"


async def test_a_parameter_of_a_wrong_type_does_not_bring_the_key_or_the_tasks_into_the_logs(
    caplog,
):
    with pytest.raises(ParameterTypeError, match="max_tokens") as refused:
        await batch_agent_tasks(["A secret task."], max_tokens="many", api_key=KEY)

    assert KEY not in caplog.text + str(refused.value)


async def test_a_block_given_directly_is_used_and_its_key_is_not_stored(
    stack, emulator, monkeypatch
):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    block = AnthropicCredentials(api_key=KEY)

    state = await batch_agent_tasks(
        ["Hello."], credentials=block, poll_interval=SOON, return_state=True
    )

    assert (await state.aresult())[0].succeeded
    assert KEY not in run_of(stack, state).model_dump_json()


async def test_a_block_is_found_by_its_name(stack, emulator, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    await AnthropicCredentials(api_key=KEY, base_url=emulator.base_url).save(
        "of-test-flows", overwrite=True
    )

    (result,) = await batch_agent_tasks(["Hello."], credentials="of-test-flows", poll_interval=SOON)

    assert result.succeeded


async def test_a_key_and_a_block_are_one_too_many(emulator):
    with pytest.raises(CredentialsError, match="`api_key` or `credentials`, not both"):
        await batch_agent_tasks(["Hello."], api_key=KEY, credentials=AnthropicCredentials())
    assert emulator.calls() == []


async def test_a_key_in_the_place_of_a_blocks_name_is_refused_and_shown_nowhere(stack, emulator):
    state = await batch_agent_tasks(["Hello."], credentials=KEY, return_state=True)

    run = run_of(stack, state)
    assert "expected the name of an AnthropicCredentials block, got a key" in run.state.message
    assert KEY not in run.model_dump_json() + stack.logs(str(run.id))
    assert emulator.calls() == []


@pytest.mark.parametrize("count", [1, 7_000], ids=["whole", "as a summary"])
async def test_a_key_in_any_other_parameter_is_not_stored(stack, count):
    tasks = [f"Is {KEY} a key?", *["Hello."] * (count - 1)]

    state = await batch_agent_tasks(
        tasks, params={"metadata": {"user_id": KEY}}, poll_interval=SOON, return_state=True
    )

    assert len(await state.aresult()) == count
    run = run_of(stack, state)
    assert run.parameters["params"] == {"metadata": {"user_id": "********"}}
    assert "Is ******** a key?" in json.dumps(run.parameters["tasks"])
    assert KEY not in run.model_dump_json()


async def test_a_refused_key_fails_the_run_and_says_where_to_look(stack):
    state = await batch_agent_tasks(
        ["Hello."], api_key="sk-ant-invalid-0123", poll_interval=SOON, return_state=True
    )

    run = run_of(stack, state)
    assert run.state.is_failed()
    assert "Anthropic refused the key" in run.state.message
    assert "sk-ant-invalid-0123" not in run.model_dump_json()


@pytest.mark.parametrize(
    ("count", "size"), [(5_000, 500), (500, 50_000)], ids=["5,000 x 500", "500 x 50 kB"]
)
async def test_inputs_larger_than_prefect_stores_are_stored_as_a_summary(
    stack, emulator, count, size
):
    tasks = [f"Contract {n}. ".ljust(size, "x") for n in range(count)]

    @flow
    async def parent() -> list[bool]:
        results = await batch_agent_tasks(tasks, poll_interval=0.5)
        return [f"“Contract {n}”" in result.output for n, result in enumerate(results)]

    state = await parent(return_state=True)

    assert await state.aresult() == [True] * count
    (child,) = stack.subflow_runs(str(state.state_details.flow_run_id))
    stored = child.parameters["tasks"]
    assert stored["items"] == count
    assert stored["summary"].endswith("bytes as JSON, not stored")
    assert stored["first"] == tasks[0][:200]
    assert len(json.dumps(child.parameters)) < 2_000
    assert [batch["requests"] for batch in emulator.batches()] == [count]


async def test_the_result_is_persisted_and_can_be_read_from_the_server(stack):
    state = await batch_agent_tasks(named(3), poll_interval=SOON, return_state=True)

    stored = await run_of(stack, state).state.aresult()

    assert stored == await state.aresult()
    assert [result.custom_id.rpartition("-")[0] for result in stored] == [
        f"task-{n}" for n in range(3)
    ]


async def test_a_block_that_does_not_exist_says_how_to_save_one():
    with pytest.raises(CredentialsError, match=r"nosuch.*\.save\('nosuch'\)"):
        await batch_agent_tasks(["One."], credentials="nosuch")
