"""A create call that is given up here, and carried out long after."""

from __future__ import annotations

import threading

import pytest
from prefect import flow

from meshflow_prefect import AnthropicCredentials, collect_results, poll_batch, submit_batch
from tests.support.jobs import SOON, requests
from tests.support.scripted import CREATE, ScriptedApi

LATE_SECONDS = 30.0
"""After which the batch is made: longer than lost answers are looked for that came at once."""


@pytest.mark.long
async def test_a_batch_that_is_made_long_after_a_short_timeout_is_the_only_one(
    emulator, scripted: ScriptedApi
):
    never = threading.Event()
    carried_out = []

    def late(call: str) -> None:
        if call == CREATE and not carried_out:
            carried_out.append(call)
            never.wait(LATE_SECONDS)

    scripted.script = late

    @flow
    async def impatient() -> list[str]:
        key = AnthropicCredentials(timeout_seconds=3)
        batch_id = await submit_batch(requests(3), credentials=key)
        await poll_batch(batch_id, poll_interval=SOON)
        return [row.custom_id for row in await collect_results(batch_id, requests(3))]

    assert await impatient() == ["row-0", "row-1", "row-2"]
    assert scripted.count(CREATE) == len(emulator.batches()) == 1
