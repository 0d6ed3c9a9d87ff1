"""Another execution has sent a create call and is silent: what may be done about it, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient

from meshflow_prefect import AnthropicBatchClient, submit_batch
from meshflow_prefect.chunking import make_chunk
from meshflow_prefect.ledger import Entry, Ledger
from meshflow_prefect.lineage import read_lineage
from meshflow_prefect.submission import work_of
from tests.support.jobs import requests

CREATE = "POST /v1/messages/batches"
LIST = "GET /v1/messages/batches?"


def creates(emulator) -> int:
    return emulator.state()["calls"].get(CREATE, 0)


async def intend(prefect: PrefectClient, *, seconds: float) -> tuple[Ledger, Entry]:
    """Write what another execution of the current run does before its create call."""
    lineage = await read_lineage(prefect)
    assert lineage is not None
    ledger = Ledger(prefect, lineage.root.id)
    work = work_of(make_chunk(requests(3)))
    entry = await ledger.record_intent(0, work, lineage, "", seconds=seconds)
    assert entry is not None
    return ledger, entry


async def test_a_batch_that_is_recorded_while_it_is_looked_for_is_not_made_again(
    emulator, scripted
):
    record: list[Callable[[], None]] = []

    def record_once(call: str) -> None:
        if call.startswith(LIST) and record:
            record.pop()()

    @flow
    async def root() -> str:
        async with get_client() as prefect:
            ledger, entry = await intend(prefect, seconds=600)
            async with AnthropicBatchClient() as anthropic:
                made = await anthropic.submit(requests(3))
            await ledger.end_call(entry, 1.0)
            loop = asyncio.get_running_loop()

            def write() -> None:
                recorded = ledger.record_batch(entry, made)
                asyncio.run_coroutine_threadsafe(recorded, loop).result(30)

            record.append(write)
            assert await submit_batch(requests(3)) == made
            return made

    scripted.script = record_once

    assert [await root()] == [batch["id"] for batch in emulator.batches()]
    assert record == []
    assert creates(emulator) == 1


async def test_a_call_that_its_sender_says_is_over_is_sent_again_at_once(emulator):
    """Prefect ends a task that takes too long; the next need not wait for the call's own time."""
    emulator.plan({"on": "create", "hold": "before"})

    @flow
    async def root() -> str:
        with pytest.raises(TimeoutError):
            await submit_batch.with_options(timeout_seconds=5)(requests(3))
        return await submit_batch(requests(3))

    async with asyncio.timeout(90):
        assert [await root()] == [batch["id"] for batch in emulator.batches()]
    assert creates(emulator) == 2


async def test_a_sender_that_may_go_on_is_waited_for(emulator):
    """This process has written the intent, and lives."""

    @flow
    async def root() -> None:
        async with get_client() as prefect:
            ledger, entry = await intend(prefect, seconds=0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(40):
                    await submit_batch(requests(3))
            assert await ledger.entry(0) == entry

    await root()

    assert creates(emulator) == 0
