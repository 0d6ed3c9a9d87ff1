"""Batches that were created elsewhere are collected by their ids; nothing is submitted."""

from __future__ import annotations

import pytest
from prefect.exceptions import ParameterTypeError

from meshflow_prefect import (
    AnthropicBatchClient,
    BatchFailedError,
    BatchNotFoundError,
    BatchRequest,
    BatchResult,
    InvalidRequestError,
    batch_agent_tasks,
)
from tests.support.jobs import SOON, named, requests

CREATE = "POST /v1/messages/batches"
CANCEL = "POST /v1/messages/batches/{id}/cancel"


async def made(*batches: list[BatchRequest]) -> list[str]:
    """Create batches without Prefect, and return their ids."""
    async with AnthropicBatchClient() as client:
        return [await client.submit(batch) for batch in batches]


def called(*ids: str) -> list[BatchRequest]:
    return [BatchRequest(custom_id, f"Say {custom_id}.") for custom_id in ids]


async def collect(batch_ids: list[str], **options) -> list[BatchResult]:
    return await batch_agent_tasks(batch_ids=batch_ids, poll_interval=SOON, **options)


async def test_a_batch_made_elsewhere_is_waited_for_and_collected(emulator):
    batch_ids = await made(requests(3))

    results = await collect(batch_ids)

    assert [result.succeeded for result in results] == [True] * 3


async def test_its_rows_come_by_their_ids_with_numbers_by_value():
    ids = ["task-10", "task-9", "task-100", "a-2", "task-1", "a-10", "other"]

    results = await collect(await made(called(*ids)))

    assert [result.custom_id for result in results] == [
        *["a-2", "a-10", "other", "task-1", "task-9", "task-10", "task-100"]
    ]


async def test_several_batches_come_in_turn_also_where_ids_repeat():
    first, second = await made(requests(3), called("row-1", "row-0"))

    results = await collect([second, first])

    assert [result.custom_id for result in results] == ["row-0", "row-1", "row-0", "row-1", "row-2"]
    assert len({result.message["id"] for result in results}) == 5


async def test_nothing_is_created_or_cancelled(emulator):
    batch_ids = await made(requests(2), requests(1))
    before = emulator.state()["calls"][CREATE]

    await collect(batch_ids)

    assert emulator.state()["calls"][CREATE] == before == 2
    assert CANCEL not in emulator.state()["calls"]


async def test_rows_that_failed_are_results_and_are_not_sent_again(emulator):
    emulator.plan({"on": "rows", "custom_id": "row-1", "outcome": "errored"})

    results = await collect(await made(requests(3)), max_attempts=3)

    assert [result.status for result in results] == ["succeeded", "errored", "succeeded"]
    assert len(emulator.batches()) == 1


async def test_too_many_failed_rows_of_all_batches_together_are_an_error(emulator):
    emulator.plan({"on": "rows", "custom_id": "row-1", "outcome": "errored"})
    batch_ids = await made(requests(2), requests(2))

    with pytest.raises(BatchFailedError, match="1 of 4 requests failed") as failed:
        await collect(batch_ids, on_failure="raise", failure_threshold=0.2)

    assert failed.value.batch_ids == batch_ids
    assert len(failed.value.results) == 4
    assert len(await collect(batch_ids, on_failure="raise", failure_threshold=0.25)) == 4


@pytest.mark.anthropic_emulator(batch_seconds=3600)
async def test_an_id_that_does_not_exist_is_an_error_at_once(emulator):
    with pytest.raises(BatchNotFoundError, match="msgbatch_nobody"):
        await collect(["msgbatch_nobody"])

    assert sum(emulator.state()["calls"].values()) == 1


async def test_an_empty_id_is_an_error_at_once(emulator):
    with pytest.raises(BatchNotFoundError, match="empty text"):
        await collect([""])


@pytest.mark.anthropic_emulator(batch_seconds=0.2, workspaces={"sk-ant-other": "another"})
async def test_a_batch_of_another_workspace_does_not_exist(emulator):
    async with AnthropicBatchClient("sk-ant-other") as client:
        batch_id = await client.submit(requests(1))

    with pytest.raises(BatchNotFoundError, match="belongs to the workspace"):
        await collect([batch_id])


async def test_tasks_and_batches_together_are_refused(emulator):
    with pytest.raises(InvalidRequestError, match="not both"):
        await batch_agent_tasks(named(1), batch_ids=["msgbatch_1"])
    assert emulator.state()["calls"] == {}


@pytest.mark.parametrize(
    ("batch_ids", "rule"),
    [([], "expected a list of ids"), (["msgbatch_1", "msgbatch_1"], "an id occurs twice")],
)
async def test_a_list_that_is_none_is_refused(emulator, batch_ids, rule):
    with pytest.raises(InvalidRequestError, match=f"batch_ids: {rule}"):
        await collect(batch_ids)
    assert emulator.state()["calls"] == {}


async def test_a_text_in_the_place_of_a_list_of_ids_is_refused(emulator):
    with pytest.raises(ParameterTypeError, match="batch_ids"):
        await collect("msgbatch_1")
    assert emulator.state()["calls"] == {}


async def test_neither_tasks_nor_batches_are_refused(emulator):
    with pytest.raises(InvalidRequestError, match="nothing to submit"):
        await batch_agent_tasks()
    assert emulator.state()["calls"] == {}
