"""The tasks of the package, composed into flows and called without one."""

from __future__ import annotations

import asyncio

import pytest
from prefect import flow

from meshflow_prefect import (
    BatchNotEndedError,
    InvalidRequestError,
    batch_agent_tasks,
    cancel_batch,
    collect_results,
    poll_batch,
    submit_batch,
)
from tests.support.jobs import SOON, named, requests
from tests.support.processes import wait_until


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
        # Prefect records a run at its first event, which has the name before ours.
        ended = [run for run in runs if run.state is not None and run.state.is_final()]
        return sorted(run.name for run in ended) if len(ended) == 6 else None

    assert await asyncio.to_thread(wait_until, names, "six ended task runs") == [
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


@pytest.mark.parametrize(
    "wrong", [{"on_cancel": "kep"}, {"if_unknown": None}, {"if_unknown": ""}], ids=str
)
async def test_terms_that_are_none_are_refused_before_anything_is_sent(emulator, wrong):
    @flow
    async def mistaken() -> None:
        await submit_batch(requests(2), **wrong)

    for submit in (mistaken(), submit_batch(requests(2), **wrong)):
        with pytest.raises(InvalidRequestError, match=f"{next(iter(wrong))}: must be"):
            await submit
    assert emulator.calls() == []


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
