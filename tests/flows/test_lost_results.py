"""The result storage is lost after a call has ended: what it paid for is collected anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

from meshflow_prefect import (
    BatchRequest,
    BatchResult,
    ContentChangedError,
    ResultsLostError,
    batch_agent_tasks,
    batch_file,
    batch_requests,
)
from tests.support.jobs import SOON


@pytest.fixture
def lose_storage() -> Callable[[], None]:
    return lambda: shutil.rmtree(PREFECT_LOCAL_STORAGE_PATH.value())


def requests(letter: str) -> list[BatchRequest]:
    return [BatchRequest(f"{letter}-{n}", f"Say {letter} {n}.") for n in range(3)]


@pytest.mark.parametrize("as_state", [False, True])
async def test_calls_that_had_ended_return_the_rows_of_their_batches(
    emulator, lose_storage, as_state
):
    attempts: list[list[str]] = []

    async def outputs(texts: list[str]) -> list[str]:
        if not as_state:
            results = await batch_agent_tasks(texts, poll_interval=SOON)
        else:
            state = await batch_agent_tasks(texts, poll_interval=SOON, return_state=True)
            results = await state.aresult()
        return [str(result.output) for result in results]

    @flow(retries=1)
    async def pipeline() -> None:
        # The last two ask the same, and are two jobs.
        given = [await outputs(texts) for texts in (["A", "B"], ["C", "D", "E"], ["A", "B"])]
        attempts.append([output for some in given for output in some])
        if len(attempts) == 1:
            lose_storage()
            raise RuntimeError("The flow starts anew.")

    await pipeline()

    assert attempts[0] == attempts[1]
    assert sorted(batch["requests"] for batch in emulator.batches()) == [2, 2, 3]


async def test_rows_that_were_sent_again_are_collected_from_both_batches_and_not_sent_a_third_time(
    emulator, lose_storage
):
    emulator.plan(
        {"on": "rows", "custom_id": "A-1", "outcome": "errored", "error": "overloaded_error"}
    )
    attempts: list[list[BatchResult]] = []

    @flow(retries=1)
    async def pipeline() -> None:
        attempts.append(await batch_requests(requests("A"), poll_interval=SOON))
        if len(attempts) == 1:
            lose_storage()
            raise RuntimeError("The flow starts anew.")

    await pipeline()

    assert attempts[0] == attempts[1]
    assert [batch["requests"] for batch in emulator.batches()] == [1, 3]


async def test_a_job_between_files_writes_its_output_again(emulator, lose_storage, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(f'{{"text": "number {n}"}}\n' for n in range(5)))
    destination = tmp_path / "out.jsonl"
    written: list[bytes] = []

    @flow(retries=1)
    async def pipeline() -> int:
        summary = await batch_file(source, destination, "Say {text}.", poll_interval=SOON)
        written.append(destination.read_bytes())
        if len(written) == 1:
            lose_storage()
            raise RuntimeError("The flow starts anew.")
        return summary.succeeded

    assert await pipeline() == 5
    assert written[0] == written[1]
    assert len(emulator.batches()) == 1


async def test_steps_that_ran_again_ask_for_something_else_and_the_error_names_the_batches(
    emulator, lose_storage
):
    @task(persist_result=True)
    def chosen() -> list[str]:
        return [f"Say {uuid4()}.", f"Say {uuid4()}."]

    attempts: list[int] = []

    @flow(retries=1)
    async def pipeline() -> None:
        await batch_agent_tasks(chosen(), poll_interval=SOON)
        attempts.append(1)
        lose_storage()
        raise RuntimeError("The flow starts anew.")

    with pytest.raises(ResultsLostError, match="result storage has to be reachable") as caught:
        await pipeline()

    (batch,) = emulator.batches()
    assert caught.value.batch_ids == [batch["id"]]
    assert f"batch_agent_tasks(batch_ids=['{batch['id']}'])" in str(caught.value)
    assert len(attempts) == 1

    @flow
    async def remedy() -> list[bool]:
        results = await batch_agent_tasks(batch_ids=caught.value.batch_ids, poll_interval=SOON)
        return [result.succeeded for result in results]

    assert await remedy() == [True, True]
    assert len(emulator.batches()) == 1


async def test_where_only_the_results_of_steps_are_lost_the_error_says_so(emulator):
    """Another worker, say, that finds the results of the call and not those of the step."""
    attempts: list[int] = []

    @flow(retries=1)
    async def pipeline() -> None:
        texts = [f"Say {len(attempts)}."]  # as a step returns it that runs again
        await batch_agent_tasks(texts, poll_interval=SOON)
        attempts.append(1)
        raise RuntimeError("The flow starts anew.")

    with pytest.raises(ContentChangedError, match="this worker cannot read their results") as e:
        await pipeline()

    assert e.value.batch_ids == [batch["id"] for batch in emulator.batches()]
    assert len(e.value.batch_ids) == 1
    assert e.value.batch_ids[0] in str(e.value)
