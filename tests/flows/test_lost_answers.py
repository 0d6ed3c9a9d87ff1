"""The answer to a create call is lost: the batch is found by what is known of it, and adopted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import pytest
from prefect import flow
from prefect.runtime import flow_run

from meshflow_prefect import (
    AnthropicBatchClient,
    BatchRequest,
    BatchResult,
    SubmissionRefusedError,
    SubmissionUnknownError,
    batch_agent_tasks,
    collect_results,
    poll_batch,
    submit_batch,
)
from meshflow_prefect.emulator import Emulator
from tests.support.jobs import SOON, named, numbered, requests
from tests.support.processes import wait_until
from tests.support.scripted import Answer, problem

ACCEPTED_THEN_LOST = [
    {"on": "create", "accept": True, "status": 500},
    {"on": "create", "accept": True, "drop": True},
    {"on": "create", "accept": True, "status": 529},
]
# Where the newest batch before the intent is not known, an earlier one may be taken for a lost one.
TWO_MAY_BE_IT = [{"on": "list", "status": 503, "times": 3}, ACCEPTED_THEN_LOST[0]]
CREATE = "POST /v1/messages/batches"


def creates(emulator) -> int:
    return emulator.state()["calls"][CREATE]


@flow
async def three_rows(if_unknown: str = "stop") -> list[BatchResult]:
    """A flow of a user, whose ids occur in other jobs too."""
    batch_id = await submit_batch(requests(3), if_unknown=if_unknown)
    await poll_batch(batch_id, poll_interval=SOON)
    return await collect_results(batch_id, requests(3))


async def same_rows_elsewhere() -> str:
    """A batch of the same ids that was made without Prefect, and is in no ledger."""
    async with AnthropicBatchClient() as client:
        return await client.submit(requests(3))


@pytest.mark.parametrize("fault", ACCEPTED_THEN_LOST)
async def test_a_batch_whose_answer_was_lost_is_adopted(emulator, fault):
    emulator.plan(fault)

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert creates(emulator) == 1
    assert len(emulator.batches()) == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"drop": True}])
async def test_a_create_that_made_no_batch_is_sent_again(emulator, fault):
    emulator.plan({"on": "create", **fault})

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert creates(emulator) == 2
    assert len(emulator.batches()) == 1


async def test_batches_of_the_same_size_that_are_not_ours_are_left_alone(emulator):
    async with AnthropicBatchClient() as client:
        others = [await client.submit(numbered(3, model="claude-opus-5")) for _ in range(2)]
    emulator.plan(ACCEPTED_THEN_LOST[0])

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert len(emulator.batches()) == 1 + len(others)


async def test_a_batch_that_another_run_has_recorded_is_not_taken_from_it(emulator):
    theirs = await three_rows()
    emulator.plan(ACCEPTED_THEN_LOST[0])

    ours = await three_rows()

    assert ours[0].message["id"] != theirs[0].message["id"]
    assert len(emulator.batches()) == 2


async def test_the_list_may_be_away_while_the_batch_is_looked_for(emulator):
    emulator.plan(ACCEPTED_THEN_LOST[1], {"on": "list", "status": 503, "times": 4})

    assert len(await batch_agent_tasks(named(3), poll_interval=SOON)) == 3
    assert len(emulator.batches()) == 1


async def test_a_batch_that_was_there_before_the_intent_is_not_taken_for_the_lost_one(emulator):
    elsewhere = await same_rows_elsewhere()
    emulator.plan(ACCEPTED_THEN_LOST[0])

    results = await three_rows()

    made = [batch["id"] for batch in emulator.batches()]
    assert made[1:] == [elsewhere]
    assert [result.succeeded for result in results] == [True] * 3


@pytest.mark.anthropic_emulator(workspaces={"sk-ant-one": "one", "sk-ant-two": "two"})
async def test_where_the_list_is_another_workspaces_by_now_nothing_is_sent(emulator, monkeypatch):
    """A key of another workspace shows none of what was accepted: that proves nothing."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-one")
    await same_rows_elsewhere()
    emulator.plan(
        ACCEPTED_THEN_LOST[1],
        # The first attempt knows what was newest, and cannot look for its batch.
        {"on": "list", "skip": 1, "status": 404},
    )
    attempts = []

    @flow(retries=1)
    async def with_another_key() -> list[BatchResult]:
        if attempts:
            monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-two")
        attempts.append(emulator)
        return await three_rows()

    with pytest.raises(SubmissionUnknownError, match="another workspace now"):
        await with_another_key()

    assert len(attempts) == 2
    assert creates(emulator) == 2


async def test_two_batches_that_could_be_it_are_an_error_that_names_them(emulator):
    elsewhere = await same_rows_elsewhere()
    emulator.plan(*TWO_MAY_BE_IT)

    with pytest.raises(SubmissionUnknownError, match="cannot be known") as lost:
        await three_rows()

    made = {batch["id"] for batch in emulator.batches()}
    assert set(lost.value.candidates) == made
    assert elsewhere in str(lost.value)
    assert f"meshflow-prefect adopt {lost.value.run_id}" in str(lost.value)
    assert creates(emulator) == 2


async def test_a_parameter_adopts_one_of_them(emulator):
    elsewhere = await same_rows_elsewhere()
    emulator.plan(*TWO_MAY_BE_IT)

    results = await three_rows(if_unknown=elsewhere)

    assert [result.succeeded for result in results] == [True] * 3
    assert len(emulator.batches()) == 2


async def test_a_parameter_submits_anew(emulator):
    await same_rows_elsewhere()
    emulator.plan(*TWO_MAY_BE_IT)

    assert len(await three_rows(if_unknown="submit")) == 3
    assert len(emulator.batches()) == 3


@pytest.mark.parametrize("decision", ["adopt", "resubmit"])
async def test_the_command_line_decides_for_the_next_attempt(stack, emulator, decision):
    env = {**stack.env, **emulator.environment()}
    elsewhere = await same_rows_elsewhere()
    emulator.plan(*TWO_MAY_BE_IT)

    def decide(run_id: str) -> None:
        command = [sys.executable, "-m", "meshflow_prefect.cli", decision, run_id]
        arguments = [elsewhere] if decision == "adopt" else []
        subprocess.run([*command, *arguments], check=True, env=env)

    @flow(retries=1)
    async def decided() -> list[BatchResult]:
        try:
            return await three_rows()
        except SubmissionUnknownError:
            decide(str(flow_run.root_flow_run_id))
            raise

    results = await decided()

    assert [result.succeeded for result in results] == [True] * 3
    assert len(emulator.batches()) == {"adopt": 2, "resubmit": 3}[decision]


async def test_answers_that_are_always_lost_end_in_an_error_and_no_batch(emulator):
    emulator.plan({"on": "create", "drop": True, "times": None})

    with pytest.raises(
        SubmissionRefusedError, match="the answers to 3 create calls were lost"
    ) as told:
        await three_rows()

    assert "Connection error" in str(told.value)
    assert "there may be a batch" not in str(told.value)
    assert creates(emulator) == 3
    assert emulator.batches() == []


async def test_a_batch_that_an_overloaded_api_has_made_is_found_where_the_list_is_behind(
    emulator, scripted
):
    """For some seconds the list lacks what was made last."""
    made: list[float] = []

    def change(call: str, answer: Answer) -> Answer:
        if call == CREATE:
            made.append(time.monotonic())
            return problem(529, "overloaded_error", "Busy", **{"retry-after": "1"})
        is_list = call.startswith("GET /v1/messages/batches?")
        if is_list and made and time.monotonic() - made[0] < 6:
            body = json.dumps({"data": [], "has_more": False, "first_id": None, "last_id": None})
            return Answer(200, body.encode(), {"content-type": "application/json"})
        return answer

    scripted.change = change

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert [batch["requests"] for batch in emulator.batches()] == [3]


async def test_a_lost_batch_is_known_by_its_ids_also_where_a_foreign_row_is_among_them(
    emulator, scripted
):
    def change(call: str, answer: Answer) -> Answer:
        if call.endswith("/results"):
            foreign = b'{"custom_id":"foreign","result":{"type":"canceled"}}\n'
            return Answer(200, foreign + answer.body, {"content-type": "application/x-jsonl"})
        return answer

    emulator.plan(ACCEPTED_THEN_LOST[0])
    scripted.change = change

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert len(emulator.batches()) == 1


def as_json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"content-type": "application/json"})


@pytest.mark.anthropic_emulator(batch_seconds=28)
async def test_a_batch_that_was_seen_is_not_forgotten_where_a_later_list_is_behind(
    emulator, scripted
):
    """It runs for longer than the list is watched where it shows nothing."""
    lists: list[str] = []

    def change(call: str, answer: Answer) -> Answer:
        if call.startswith("GET /v1/messages/batches?") and emulator.batches():
            lists.append(call)
            if len(lists) > 1:
                return as_json({"data": [], "has_more": False, "first_id": None, "last_id": None})
        return answer

    emulator.plan(ACCEPTED_THEN_LOST[0])
    scripted.change = change

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert len(lists) > 2
    assert creates(emulator) == 1


@pytest.mark.parametrize("behind", [2, 6])
async def test_a_list_may_be_ahead_of_what_is_said_of_the_batch(emulator, scripted, behind):
    left = [b""] * behind

    def change(call: str, answer: Answer) -> Answer:
        if call.startswith("GET /v1/messages/batches/msgbatch_") and "results" not in call and left:
            left.pop()
            return as_json(json.loads(answer.body) | {"processing_status": "in_progress"})
        return answer

    emulator.plan(ACCEPTED_THEN_LOST[0])
    scripted.change = change

    results = await batch_agent_tasks(named(3), poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 3
    assert left == []
    assert creates(emulator) == 1


@flow
async def asks(model: str, of: str) -> str:
    return await submit_batch([BatchRequest(f"{of}-{n}", "Hello.", model) for n in range(3)])


async def both_sent(emulator: Emulator) -> None:
    """Let two create calls go on when both are held."""
    await asyncio.to_thread(
        wait_until, lambda: sum(f["held"] for f in emulator.faults()) == 2, "both are sent"
    )
    emulator.release()


async def test_of_two_that_sent_the_same_ids_and_lost_their_answers_none_takes_the_batch(emulator):
    """It may hold the replies of another model, or to another prompt."""
    emulator.plan(
        {"on": "create", "accept": True, "drop": True, "hold": "before"},
        {"on": "create", "drop": True, "hold": "before"},
    )

    models = ["claude-opus-5", "claude-haiku-4-5"]
    asked = (asks(model, "lost") for model in models)
    *ends, _ = await asyncio.gather(*asked, both_sent(emulator), return_exceptions=True)

    (made,) = [batch["id"] for batch in emulator.batches()]
    assert [type(end) for end in ends] == [SubmissionUnknownError] * 2
    assert [end.candidates for end in ends] == [[made]] * 2
    assert creates(emulator) == 2


async def test_another_submission_of_the_same_ids_that_was_refused_leaves_no_doubt(emulator):
    emulator.plan(
        {"on": "create", "accept": True, "drop": True, "hold": "before"},
        {"on": "create", "status": 429, "headers": {"retry-after": "15"}, "hold": "before"},
    )

    models = ["claude-opus-5", "claude-haiku-4-5"]
    asked = (asks(model, "refused") for model in models)
    *made, _ = await asyncio.gather(*asked, both_sent(emulator))

    assert set(made) == {batch["id"] for batch in emulator.batches()}
    assert len(set(made)) == creates(emulator) - 1 == 2
