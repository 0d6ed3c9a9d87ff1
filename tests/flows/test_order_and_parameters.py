"""Results come in the order of the tasks, and bad input is refused before anything is sent."""

from __future__ import annotations

import re

import pytest

from meshflow_prefect import (
    BatchRequest,
    InvalidRequestError,
    batch_agent_tasks,
    batch_requests,
)
from tests.support.jobs import SOON, named, run_of


async def test_results_come_in_the_order_of_the_tasks_with_ids_that_say_so(emulator):
    results = await batch_agent_tasks(named(25), poll_interval=SOON)

    ids = [re.fullmatch(r"task-(\d+)-([0-9a-f]{12})", r.custom_id).groups() for r in results]
    assert [position for position, _ in ids] == [str(n) for n in range(25)]
    assert len({job for _, job in ids}) == 1
    assert [f"the number {n}”" in r.output for n, r in enumerate(results)] == [True] * 25
    assert [batch["requests"] for batch in emulator.batches()] == [25]


async def test_every_parameter_reaches_the_requests():
    (result,) = await batch_agent_tasks(
        ["[[tool_use]] Look."],
        "claude-opus-5-5",
        "System prompt. " * 100,
        64,
        poll_interval=SOON,
        params={"tools": [{"name": "look", "input_schema": {"type": "object"}}]},
    )

    assert result.model == "claude-opus-5-5"
    assert result.stop_reason == "tool_use"
    assert result.usage["input_tokens"] > 300
    (cut,) = await batch_agent_tasks(["[[words 500]]"], max_tokens=5, poll_interval=SOON)
    assert cut.truncated


async def test_what_can_be_gone_through_once_is_a_list_too():
    texts = (text for text in named(2))
    generated = await batch_agent_tasks(texts, poll_interval=SOON)
    mapped = await batch_requests(
        requests=map(BatchRequest, ["a", "b", "c"], named(3)), poll_interval=SOON
    )

    assert [result.succeeded for result in [*generated, *mapped]] == [True] * 5
    assert [result.custom_id for result in mapped] == ["a", "b", "c"]


async def test_the_system_prompt_may_be_empty():
    (result,) = await batch_agent_tasks(["Hello."], system_prompt="", poll_interval=SOON)
    assert result.succeeded


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([], "tasks: the list is empty"),
        (["fine", ""], "tasks[1]: expected a non-empty text, got ''"),
        (["fine", "fine", " \n"], "tasks[2]: expected a non-empty text"),
        (["fine", 7], "tasks[1]: expected a non-empty text, got int"),
        (["fine", None], "tasks[1]: expected a non-empty text, got NoneType"),
        ([["fine"]], "tasks[0]: expected a non-empty text, got list"),
        ("fine", "tasks: expected a list of texts, got a str"),
        ({"a": "fine"}, "tasks: expected a list of texts, got a dict"),
    ],
)
async def test_bad_tasks_are_refused_by_their_position(emulator, tasks, said):
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        await batch_agent_tasks(tasks, poll_interval=SOON)
    assert emulator.calls() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"poll_interval": 0}, "poll_interval: must be more than 0"),
        ({"max_tokens": 0}, "max_tokens: must be at least 1"),
        ({"agent_model": " "}, "model: expected the name of a model"),
        ({"params": {"stream": True}}, "params.stream: "),
        ({"params": {"model": "x"}}, "params.model: set the field"),
    ],
)
async def test_bad_parameters_are_refused_before_anything_is_sent(emulator, wrong, said):
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        await batch_agent_tasks(["Hello."], **{"poll_interval": SOON, **wrong})
    assert emulator.calls() == []


async def test_an_unknown_model_is_errored_rows_of_a_run_that_completed(stack):
    state = await batch_agent_tasks(
        ["One.", "Two."], "claude-of-tomorrow", poll_interval=SOON, return_state=True
    )

    assert run_of(stack, state).state.is_completed()
    assert [(r.status, r.error_type) for r in await state.aresult()] == [
        ("errored", "not_found_error")
    ] * 2
