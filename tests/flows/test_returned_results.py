"""What a flow of this package returns: the results themselves, which Prefect does not look into."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, get_client

from meshflow_prefect import batch_agent_tasks
from meshflow_prefect.flow_type import batch_flow
from meshflow_prefect.returning import without_search
from tests.support.jobs import SOON, named, quick


class Watched(list[Any]):
    """A list that counts how often it was walked through."""

    walked = 0

    def __iter__(self) -> Iterator[Any]:
        self.walked += 1
        return super().__iter__()


async def test_prefect_walks_into_a_plain_return_value_and_not_into_one_of_ours():
    inner, plain_inner = Watched([1]), Watched([1])

    @batch_flow(lambda *_: True, name="ours")
    async def ours() -> list[Any]:
        return await without_search([inner])

    @flow
    async def plain() -> list[Any]:
        return [plain_inner]

    assert (await ours())[0] is inner
    assert (await plain())[0] is plain_inner
    assert inner.walked == 0 < plain_inner.walked


@quick
async def test_callers_get_a_list_and_so_does_whoever_reads_the_run_later():
    state = await batch_agent_tasks(named(3), poll_interval=SOON, return_state=True)
    async with get_client() as client:
        run = await client.read_flow_run(state.state_details.flow_run_id)

    results = await state.aresult()

    assert type(results) is list
    assert [result.succeeded for result in results] == [True] * 3
    assert run.state.name == "Completed"
    assert await run.state.aresult() == results


@quick
async def test_a_call_of_the_bare_function_in_another_flow_gets_the_list():
    @flow
    async def whole() -> list[bool]:
        results = await batch_agent_tasks.fn(named(2), poll_interval=SOON)
        return [result.succeeded for result in results]

    assert await whole() == [True, True]


@quick
async def test_without_persistence_nothing_is_stored_by_the_flow():
    quiet = batch_agent_tasks.with_options(persist_result=False)
    state = await quiet(named(2), poll_interval=SOON, return_state=True)

    assert [result.succeeded for result in await state.aresult()] == [True, True]
    assert not await asyncio.to_thread(Path(state.data.metadata.storage_key).exists)


@quick
async def test_a_storage_that_fails_at_the_end_costs_no_result(caplog):
    @batch_flow(lambda *_: True, name="own", persist_result=True)
    async def own() -> list[Any]:
        return await without_search([threading.Lock()])  # which nothing can pickle

    with caplog.at_level(logging.WARNING):
        results = await own()

    assert not results[0].locked()
    assert "The results could not be stored" in caplog.text


@pytest.mark.parametrize("failures", [1, 2])
@quick
async def test_a_retry_in_the_same_process_returns_the_value(failures):
    left = list(range(failures))

    @batch_flow(lambda *_: True, name="fails-first", retries=2, persist_result=True)
    async def fails_first() -> list[int]:
        if left:
            left.pop()
            raise RuntimeError("Not at once.")
        return await without_search([7])

    assert await fails_first() == [7]
