"""Flows that are called directly, on a real Prefect server: they wait in their own process."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator

import pytest
from prefect import flow, task
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from pydantic import SecretStr

from meshflow_prefect import (
    AnthropicCredentials,
    BatchNotEndedError,
    BatchRequest,
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    SubmissionUnknownError,
    batch_agent_tasks,
    cancel_batch,
    collect_results,
    poll_batch,
    submit_batch,
)
from meshflow_prefect.emulator import Emulator
from tests.support.processes import wait_until
from tests.support.scripted import CREATE, DROPPED, ScriptedApi, problem, scripted_api
from tests.support.stack import Stack

KEY = "sk-ant-key-of-this-test-0123456789"
SOON = 0.05
"""Seconds between two checks."""


@pytest.fixture(autouse=True)
def emulator(
    stack: Stack, anthropic_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    """An emulator of the test's own beside the shared server, and a place for results."""
    storage = tmp_path_factory.mktemp("storage")
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}):
        yield anthropic_emulator


@pytest.fixture
def scripted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    """A server in front of the emulator, that can fail."""
    with scripted_api(emulator.base_url) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.base_url)
        yield api


def named(count: int) -> list[str]:
    return [f"Name the number {n}." for n in range(count)]


def requests(count: int) -> list[BatchRequest]:
    return [BatchRequest(f"row-{n}", f"Name the number {n}.") for n in range(count)]


def run_of(stack: Stack, state: State) -> FlowRun:
    return stack.read(str(state.state_details.flow_run_id))


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


async def test_the_tasks_compose_into_a_flow_and_their_runs_have_readable_names(stack, emulator):
    @flow
    async def composed() -> list[str]:
        batch_id = await submit_batch(requests(2))
        job = await poll_batch(batch_id, poll_interval=SOON)
        assert (job.batch_id, job.is_complete) == (batch_id, True)
        results = await collect_results(batch_id, requests(2))
        assert await collect_results(batch_id, ["row-1", "row-0"]) == results[::-1]
        assert {r.custom_id for r in await collect_results(batch_id)} == {"row-0", "row-1"}
        assert await cancel_batch(batch_id) is False
        assert [result.custom_id for result in results] == ["row-0", "row-1"]
        return batch_id

    state = await composed(return_state=True)
    batch_id = await state.aresult()

    def names() -> list[str] | None:
        runs = stack.task_runs(str(state.state_details.flow_run_id))
        return sorted(run.name for run in runs) if len(runs) == 6 else None

    assert await asyncio.to_thread(wait_until, names, "six task runs") == [
        f"cancel {batch_id}",
        *[f"collect {batch_id}"] * 3,
        f"poll {batch_id}",
        "submit 2 requests",
    ]


@pytest.mark.anthropic_emulator(batch_seconds=3600, cancel_seconds=0.1)
async def test_a_flow_can_cancel_its_batch_and_collect_what_there_is():
    @flow
    async def changes_its_mind() -> list[str]:
        batch_id = await submit_batch(requests(2))
        with pytest.raises(BatchNotEndedError):
            await collect_results.with_options(retries=0)(batch_id, requests(2))
        assert await cancel_batch(batch_id) is True
        job = await poll_batch(batch_id, poll_interval=SOON)
        assert job.status == "canceled"
        return [result.status for result in await collect_results(batch_id, requests(2))]

    assert await changes_its_mind() == ["canceled", "canceled"]


async def test_the_results_of_an_ended_batch_are_read_from_the_api_once(emulator):
    @flow
    async def reads_twice() -> None:
        batch_id = await submit_batch(requests(2))
        await poll_batch(batch_id, poll_interval=SOON)
        assert await collect_results(batch_id, requests(2)) == await collect_results(
            batch_id, requests(2)
        )

    await reads_twice()

    assert emulator.state()["calls"]["GET /v1/messages/batches/{id}/results"] == 1


async def test_the_requests_to_collect_may_be_an_iterator():
    @flow
    async def iterates() -> list[str]:
        batch_id = await submit_batch(requests(3))
        await poll_batch(batch_id, poll_interval=SOON)
        results = await collect_results(batch_id, (request for request in requests(3)))
        return [result.custom_id for result in results]

    assert await iterates() == ["row-0", "row-1", "row-2"]


async def test_no_requests_and_any_requests_are_not_the_same_question():
    @flow
    async def asks() -> tuple[int, int]:
        batch_id = await submit_batch(requests(3))
        await poll_batch(batch_id, poll_interval=SOON)
        return len(await collect_results(batch_id)), len(await collect_results(batch_id, []))

    assert await asks() == (3, 0)


async def test_the_tasks_may_be_a_tuple_and_any_text():
    texts = ("plain", "\u2028 separators \u0085", "emoji 🦊 and \x00", '"quotes" and \\')
    results = await batch_agent_tasks(texts, poll_interval=SOON)
    assert [result.succeeded for result in results] == [True] * 4


async def test_a_text_in_the_place_of_a_list_of_ids_is_refused():
    @flow
    async def mistaken() -> None:
        await collect_results("msgbatch_1", "row-1")

    with pytest.raises(InvalidRequestError, match="expected a list, got the text 'row-1'"):
        await mistaken()


async def test_the_tasks_work_outside_of_a_flow(emulator):
    batch_id = await submit_batch(requests(2))
    other = await submit_batch(requests(2))
    await poll_batch(batch_id, poll_interval=SOON)

    results = await collect_results(batch_id, requests(2))

    assert [result.custom_id for result in results] == ["row-0", "row-1"]
    assert await cancel_batch(batch_id) is False
    assert batch_id != other
    assert len(emulator.batches()) == 2


def test_a_flow_that_is_not_async_submits_its_tasks_to_threads(emulator):
    @flow
    def threads() -> list[str]:
        ids = [f.result() for f in [submit_batch.submit(requests(2)) for _ in range(2)]]
        for poll in [poll_batch.submit(i, poll_interval=SOON) for i in ids]:
            poll.result()
        rows = [row for i in ids for row in collect_results.submit(i, requests(2)).result()]
        return [row.custom_id for row in rows]

    assert threads() == ["row-0", "row-1"] * 2
    assert len(emulator.batches()) == 2


async def test_jobs_of_equal_content_at_once_and_in_turn_are_batches_of_their_own(emulator):
    @flow
    async def four_times() -> list[str]:
        both = await asyncio.gather(
            *(batch_agent_tasks(named(2), poll_interval=SOON) for _ in range(2))
        )
        both += [await batch_agent_tasks(named(2), poll_interval=SOON) for _ in range(2)]
        return [results[0].message["id"] for results in both]

    assert len(set(await four_times())) == 4
    assert len(emulator.batches()) == 4


async def test_equal_requests_submitted_twice_in_one_flow_are_two_batches(emulator):
    @flow
    async def twice() -> list[str]:
        return [await submit_batch(requests(2)) for _ in range(2)]

    assert len(set(await twice())) == 2
    assert len(emulator.batches()) == 2


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


@pytest.mark.parametrize("fault", [DROPPED, problem(500, "api_error", "Oops")])
async def test_a_create_whose_answer_is_lost_is_never_sent_again(emulator, scripted, fault):
    scripted.after = lambda call: fault if call == CREATE else None

    with pytest.raises(SubmissionUnknownError, match=r"about to be sent at .* not sent again"):
        await batch_agent_tasks.with_options(retries=2)(named(2), poll_interval=SOON)

    assert scripted.count(CREATE) == 1
    assert len(emulator.batches()) == 1


@pytest.mark.parametrize(
    "fault",
    [problem(429, "rate_limit_error", "Slow", **{"retry-after": "1"}), problem(529, "o", "Busy")],
)
async def test_a_create_that_was_refused_for_now_is_repeated(emulator, scripted, fault):
    faults = [fault] * 2
    scripted.script = lambda call: faults.pop() if faults and call == CREATE else None

    @flow
    async def insists() -> str:
        return await submit_batch.with_options(retry_delay_seconds=0)(requests(2))

    assert await insists() == emulator.batches()[0]["id"]
    assert scripted.count(CREATE) == 3
    assert len(emulator.batches()) == 1


@pytest.mark.parametrize("fault", [problem(400, "invalid_request_error", "Bad"), DROPPED])
async def test_no_other_failed_create_is_repeated_by_the_task(scripted, fault):
    scripted.script = lambda call: fault if call == CREATE else None

    @flow
    async def insists() -> str:
        return await submit_batch.with_options(retry_delay_seconds=0)(requests(2))

    with pytest.raises(MeshflowError):
        await insists()
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
        await poll_batch.with_options(retry_delay_seconds=0)(batch_id, poll_interval=SOON)
        read = collect_results.with_options(retry_delay_seconds=0)
        return len(await read(batch_id, requests(2)))

    assert await patient() == 2
    assert len(faults) == 8


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


async def test_a_wait_logs_each_status_once_where_there_is_no_terminal(caplog):
    batch_id = await submit_batch(requests(2))

    await poll_batch(batch_id, poll_interval=SOON)

    said = [record.getMessage() for record in caplog.records if record.name.endswith("meshflow")]
    assert len(said) == 1
    assert re.match(rf"{batch_id} in progress \(2 requests\); next check at \d\d:", said[0])


@pytest.mark.anthropic_emulator(batch_seconds=1.5)
async def test_a_wait_shows_its_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    batch_id = await submit_batch(requests(2))

    await poll_batch(batch_id, poll_interval=0.5)

    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(
        rf"0:00:0\d elapsed · {batch_id} in progress \(2 requests\) · next check in \d s", shown
    )
