"""Whatever fails and is tried again, a batch is paid for once."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from prefect import flow, get_client, task
from prefect.runtime import flow_run
from prefect.states import Cancelled

from meshflow_prefect import (
    BatchRequest,
    ContentChangedError,
    SubmissionRefusedError,
    SubmissionUnknownError,
    batch_agent_tasks,
    collect_results,
    poll_batch,
    submit_batch,
)
from tests.support.jobs import KEY, SOON, named, requests
from tests.support.scripted import CREATE, problem


async def test_a_flow_that_fails_after_the_batch_and_is_retried_makes_no_second_one(emulator):
    attempts = []

    @flow(retries=2)
    async def fails_twice() -> list[str]:
        results = await batch_agent_tasks(named(2), poll_interval=SOON)
        batch_id = await submit_batch(requests(3))
        attempts.append(batch_id)
        if len(attempts) < 3:
            raise RuntimeError("The flow fails after its batches.")
        return [result.custom_id.rpartition("-")[0] for result in results]

    assert await fails_twice() == ["task-0", "task-1"]
    assert len(attempts) == 3
    assert len(set(attempts)) == 1
    assert sorted(batch["requests"] for batch in emulator.batches()) == [2, 3]


async def test_a_subflow_that_fails_after_its_batch_and_is_called_anew_makes_no_second_one(
    emulator,
):
    """The root run is never retried: the run in the middle is, and calls a fresh run."""
    attempts = []

    @flow
    async def innermost() -> str:
        batch_id = await submit_batch(requests(2))
        attempts.append(batch_id)
        if len(attempts) == 1:
            raise RuntimeError("The innermost run fails after its batch.")
        return batch_id

    @flow(retries=1)
    async def middle() -> str:
        return await innermost()

    @flow
    async def root() -> str:
        return await middle()

    assert await root() == attempts[0]
    assert len(attempts) == 2
    assert len(emulator.batches()) == 1


async def test_a_retry_of_the_flow_itself_collects_the_same_batch(emulator, scripted):
    faults = [problem(400, "invalid_request_error", "Not now")]
    scripted.script = lambda call: faults.pop() if faults and "/results" in call else None

    results = await batch_agent_tasks.with_options(retries=1)(named(2), poll_interval=SOON)

    assert faults == []
    assert [result.succeeded for result in results] == [True, True]
    assert len(emulator.batches()) == 1
    assert scripted.count(CREATE) == 1


@pytest.mark.parametrize(
    "fault",
    [problem(429, "rate_limit_error", "Slow", **{"retry-after": "1"}), problem(529, "o", "Busy")],
)
async def test_a_create_that_was_refused_for_now_is_repeated(emulator, scripted, fault):
    faults = [fault] * 2
    scripted.script = lambda call: faults.pop() if faults and call == CREATE else None

    @flow
    async def insists() -> str:
        return await submit_batch(requests(2))

    assert await insists() == emulator.batches()[0]["id"]
    assert scripted.count(CREATE) == 3
    assert len(emulator.batches()) == 1


async def test_a_create_that_was_refused_for_good_is_not_repeated(scripted):
    fault = problem(400, "invalid_request_error", "Bad")
    scripted.script = lambda call: fault if call == CREATE else None

    @flow
    async def submits() -> str:
        return await submit_batch(requests(2))

    with pytest.raises(SubmissionRefusedError, match="400 invalid_request_error: Bad"):
        await submits()
    assert scripted.count(CREATE) == 1


@pytest.mark.parametrize(
    "fault",
    [
        problem(400, "invalid_request_error", "Bad"),
        problem(401, "authentication_error", "invalid x-api-key"),
    ],
)
async def test_a_run_whose_create_was_refused_may_be_retried_and_submits(emulator, scripted, fault):
    """A refusal leaves nothing behind: with the cause removed, the retry makes the batch."""
    faults = [fault]
    scripted.script = lambda call: faults.pop() if faults and call == CREATE else None

    results = await batch_agent_tasks.with_options(retries=1)(named(2), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True, True]
    assert len(emulator.batches()) == 1


async def test_a_run_that_found_no_key_may_be_retried_and_submits(emulator, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = [None, KEY]

    @flow(retries=1)
    async def finds_a_key() -> int:
        if (key := keys.pop(0)) is None:
            monkeypatch.delenv("ANTHROPIC_API_KEY")
        else:
            monkeypatch.setenv("ANTHROPIC_API_KEY", key)
        return len(await batch_agent_tasks(named(2), poll_interval=SOON))

    assert await finds_a_key() == 2
    assert len(emulator.batches()) == 1


async def test_passing_faults_of_the_wait_and_of_reading_are_repeated(scripted, emulator):
    faults: list[str] = []

    def fail_four_times(call: str):
        if call == CREATE or faults.count(call) >= 4:
            return None
        faults.append(call)
        return problem(500, "api_error", "Oops", **{"retry-after": "0"})

    scripted.script = fail_four_times

    @flow
    async def patient() -> int:
        batch_id = await submit_batch(requests(2))
        await poll_batch(batch_id, poll_interval=SOON)
        read = collect_results.with_options(retry_delay_seconds=0)
        return len(await read(batch_id, requests(2)))

    assert await patient() == 2
    about_the_batch = [call for call in faults if "msgbatch_" in call]
    assert len(about_the_batch) == 8


async def test_a_job_inside_a_task_of_a_retried_subflow_makes_no_second_batch(emulator):
    """Prefect numbers a flow that is called inside a task at random: only its content is known."""
    attempts = []

    @task
    async def step() -> int:
        return len(await batch_agent_tasks(named(2), poll_interval=SOON))

    @flow(retries=1)
    async def middle() -> int:
        attempts.append(await step())
        if len(attempts) == 1:
            raise RuntimeError("The flow fails after its task.")
        return attempts[-1]

    @flow
    async def root() -> int:
        return await middle()

    assert await root() == 2
    assert len(attempts) == 2
    assert len(emulator.batches()) == 1


async def test_ids_that_a_replay_does_not_repeat_are_an_error_and_no_second_batch(emulator):
    attempts: list[str] = []

    @flow(retries=1)
    async def careless() -> None:
        fresh = [BatchRequest(f"row-{len(attempts)}", "Name the number 0.")]
        attempts.append(await submit_batch(fresh))
        raise RuntimeError("The first attempt fails after its submission.")

    with pytest.raises(SubmissionUnknownError, match="with other custom ids"):
        await careless()

    assert [batch["id"] for batch in emulator.batches()] == attempts


async def test_a_replay_that_asks_for_other_rows_gets_neither_the_earlier_rows_nor_a_batch(
    emulator,
):
    """A work queue, say: what is done already is not asked for again when the flow runs anew."""
    done: list[str] = []
    answers = []

    @flow(retries=1)
    async def works_a_queue() -> None:
        left = [name for name in ("A", "B", "C", "D") if name not in done]
        while left:
            answers.append(await batch_agent_tasks(left[:2], poll_interval=SOON))
            done.extend(left[:2])
            if len(done) == 2:
                raise RuntimeError("The flow starts anew after its first two rows.")
            left = left[2:]

    with pytest.raises(ContentChangedError, match="same calls in the same order"):
        await works_a_queue()
    assert len(answers) == 1
    assert [batch["requests"] for batch in emulator.batches()] == [2]


async def test_a_replay_that_asks_for_the_same_rows_in_the_same_order_is_given_its_results(
    emulator,
):
    outputs = []

    @flow(retries=1)
    async def asks_twice() -> None:
        for texts in (["A", "B"], ["C", "D", "E"]):
            state = await batch_agent_tasks(texts, poll_interval=SOON, return_state=True)
            outputs.append([result.output for result in await state.aresult()])
        if len(outputs) == 2:
            raise RuntimeError("The flow starts anew after its batches.")

    await asks_twice()
    assert outputs[:2] == outputs[2:]
    assert sorted(batch["requests"] for batch in emulator.batches()) == [2, 3]


@pytest.mark.anthropic_emulator(batch_seconds=3)
async def test_a_call_that_a_redeploy_puts_before_another_does_not_have_that_one_paid_twice(
    emulator,
):
    """The call at its place is given the batch, since it may be the same one with a better prompt.

    That it is another one shows when the call comes which has submitted it.
    """
    first, second = ["What is A?", "What is B?"], ["What is C?", "What is D?"]
    attempts: list[int] = []

    @flow(retries=1)
    async def redeployed() -> None:
        attempts.append(len(emulator.batches()))
        if len(attempts) == 1:
            await batch_agent_tasks(first, poll_interval=SOON, timeout=0.1)
        await batch_agent_tasks(second, poll_interval=SOON)
        await batch_agent_tasks(first, poll_interval=SOON)

    with pytest.raises(ContentChangedError, match="makes other calls"):
        await redeployed()
    assert attempts == [0, 1]
    assert len(emulator.batches()) == 1


@pytest.mark.anthropic_emulator(batch_seconds=3)
@pytest.mark.parametrize("order", ["BA", "BCA", "CAB", "CBA"])
@pytest.mark.parametrize("at_once", [False, True])
async def test_calls_that_come_in_another_order_at_a_replay_have_their_own_batches(
    emulator, order, at_once
):
    attempts: list[int] = []

    def asked(letter: str) -> list[str]:
        return [f"What is {letter}? [[reply: {letter}]]"]

    @flow(retries=1)
    async def root() -> list[str]:
        attempts.append(1)
        if len(attempts) == 1:
            for letter in sorted(order):
                await batch_agent_tasks(
                    asked(letter), poll_interval=SOON, timeout=0.1, return_state=True
                )
            raise RuntimeError("The flow fails before its batches have ended.")
        calls = [batch_agent_tasks(asked(letter), poll_interval=SOON) for letter in order]
        found = await asyncio.gather(*calls) if at_once else [await call for call in calls]
        return [results[0].output for results in found]

    assert await root() == list(order)
    assert len(emulator.batches()) == len(order)


@pytest.mark.parametrize(
    ("is_cancelled", "on_cancel", "batches"),
    [(False, "cancel_batches", 1), (True, "cancel_batches", 2), (True, "keep", 1)],
)
async def test_a_fresh_run_is_not_given_the_batch_that_went_with_a_cancelled_one(
    emulator, is_cancelled, on_cancel, batches
):
    """Nothing but the content tells that it repeats the other: it may be wanted all the same."""
    run_ids = []

    @flow
    async def job() -> str:
        run_ids.append(flow_run.get_id())
        return await submit_batch(requests(2), on_cancel=on_cancel)

    @task
    async def step() -> str:
        return await job()

    @flow(retries=1)
    async def root() -> str:
        batch_id = await step()
        if len(run_ids) == 1:
            if is_cancelled:
                async with get_client() as prefect:
                    await prefect.set_flow_run_state(UUID(run_ids[0]), Cancelled(), force=True)
            raise RuntimeError("The flow fails after its task.")
        return batch_id

    assert await root() == emulator.batches()[0]["id"]
    assert len(run_ids) == 2
    assert len(emulator.batches()) == batches
