"""The ledger on a real Prefect server: written once, read whole, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient

from meshflow_prefect.heartbeat import call_seconds
from meshflow_prefect.ledger import Entry, Ledger, Work
from meshflow_prefect.lineage import Lineage


@flow
def a_flow() -> None:
    """Never run: it has a run on whose record the ledger is kept."""


@pytest.fixture
async def client(stack) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


@pytest.fixture
async def lineage(client: PrefectClient) -> Lineage:
    run = await client.create_flow_run(a_flow)
    return Lineage((run,), call_site=str(run.id))


async def intend(ledger: Ledger, lineage: Lineage, number: int) -> Entry | None:
    return await ledger.record_intent(number, Work("content", "ids", number + 1), lineage)


async def test_a_run_that_submitted_nothing_has_no_entries(client, lineage):
    assert await Ledger(client, lineage.root.id).entries() == []


async def test_an_entry_is_an_intent_first_and_a_batch_later(client, lineage):
    ledger = Ledger(client, lineage.root.id)

    entry = await intend(ledger, lineage, 0)
    assert await ledger.entries() == [entry]
    assert (entry.batch_id, entry.work) == ("", Work("content", "ids", 1))
    assert entry.run_ids == (str(lineage.current.id),)

    recorded = await ledger.record_batch(entry, "msgbatch_1")
    assert recorded.batch_id == "msgbatch_1"
    assert await Ledger(client, lineage.root.id).entries() == [recorded]


async def test_of_many_executions_one_wins_a_number(client, lineage):
    answers = await asyncio.gather(
        *(intend(Ledger(client, lineage.root.id), lineage, 0) for _ in range(8))
    )

    (winner,) = [entry for entry in answers if entry is not None]
    assert await Ledger(client, lineage.root.id).entries() == [winner]


async def test_a_withdrawn_intent_leaves_nothing_and_may_be_made_again(client, lineage):
    ledger = Ledger(client, lineage.root.id)

    await ledger.withdraw(await intend(ledger, lineage, 0))

    assert await ledger.entries() == []
    assert await intend(ledger, lineage, 0) is not None


async def test_a_batch_that_is_recorded_twice_is_kept_once(client, lineage):
    ledger = Ledger(client, lineage.root.id)
    entry = await intend(ledger, lineage, 0)
    for _ in range(2):
        await ledger.record_batch(entry, "msgbatch_1")

    assert [each.batch_id for each in await ledger.entries()] == ["msgbatch_1"]


async def test_hundreds_of_entries_come_back_whole_and_in_order(client, lineage):
    ledger = Ledger(client, lineage.root.id)
    made = [await intend(ledger, lineage, number) for number in range(205)]

    assert await ledger.entries() == made


async def test_the_entries_of_another_root_run_are_not_seen(client, lineage):
    await intend(Ledger(client, lineage.root.id), lineage, 0)
    other = await client.create_flow_run(a_flow)

    assert await Ledger(client, other.id).entries() == []


async def test_an_intent_that_another_execution_has_taken_over_is_not_withdrawn(client, lineage):
    ledger = Ledger(client, lineage.root.id)
    entry = await intend(ledger, lineage, 0)
    theirs = await ledger.claim_resend(entry, seconds=600)

    assert not await ledger.withdraw(entry)
    assert await ledger.entries() == [theirs]


async def test_an_entry_that_has_a_batch_is_not_withdrawn(client, lineage):
    """What a late refusal says of one call does not undo what another has made."""
    ledger = Ledger(client, lineage.root.id)
    entry = await intend(ledger, lineage, 0)
    recorded = await ledger.record_batch(entry, "msgbatch_1")

    assert not await ledger.withdraw(entry)
    assert await ledger.entries() == [recorded]


async def test_the_right_to_send_again_goes_to_one_execution(client, lineage):
    ledger = Ledger(client, lineage.root.id)
    entry = await intend(ledger, lineage, 0)

    claims = await asyncio.gather(*(ledger.claim_resend(entry, seconds=1) for _ in range(8)))

    (winner,) = [claim for claim in claims if claim is not None]
    assert await ledger.entries() == [winner]
    assert winner.right != entry.right


async def test_the_end_of_a_call_is_that_of_one_right_to_send(client, lineage):
    ledger = Ledger(client, lineage.root.id)
    entry = await intend(ledger, lineage, 0)

    await ledger.end_call(entry, 42.0)
    ended = await ledger.entry(0)
    assert (ended.call_ended, call_seconds(ended)) == (True, 42.0)

    again = await ledger.claim_resend(entry, seconds=1)
    assert not (await ledger.entry(0)).call_ended
    assert await ledger.withdraw(again)
    await ledger.end_call(again, 1.0)
    await intend(ledger, lineage, 0)
    assert not (await ledger.entry(0)).call_ended
