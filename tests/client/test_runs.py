"""`run` submits, waits and collects, whatever a server behind the others says meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace

from meshflow_prefect import AnthropicBatchClient
from tests.support.jobs import numbered, quick
from tests.support.scripted import Answer, problem


@quick
async def test_a_batch_that_counts_nothing_is_read_again_where_a_row_is_missing(
    scripted, anthropic_emulator
):
    lacking = [True]

    def change(call: str, answer: Answer) -> Answer:
        if call.endswith("/results") and lacking:
            lacking.pop()
            return replace(answer, body=answer.body.partition(b"\n")[2])
        if call.startswith("GET /v1/messages/batches/") and not call.endswith("/results"):
            batch = json.loads(answer.body)
            batch["request_counts"] = dict.fromkeys(batch["request_counts"], 0)
            return replace(answer, body=json.dumps(batch).encode())
        return answer

    scripted.change = change
    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        results = await client.run(numbered(3), poll_interval=0.05)

    assert not lacking
    assert [result.succeeded for result in results] == [True] * 3


@quick
async def test_run_waits_for_a_batch_that_cannot_be_seen_at_first(scripted, anthropic_emulator):
    """A 404, and then a replica that says that it still goes on."""
    answers = [problem(404, "not_found_error", "No such batch")]
    scripted.script = lambda call: answers.pop() if answers and "/msgbatch_" in call else None

    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        results = await client.run(numbered(3), poll_interval=0.05)

    assert not answers
    assert [result.succeeded for result in results] == [True] * 3
