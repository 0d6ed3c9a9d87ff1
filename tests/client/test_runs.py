"""`run` submits, waits and collects, whatever a server behind the others says meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace

from meshflow_prefect import AnthropicBatchClient, BatchResult
from tests.support.jobs import numbered, quick
from tests.support.scripted import Answer, ScriptedApi, problem


async def run_of_three(scripted: ScriptedApi) -> list[BatchResult]:
    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        return await client.run(numbered(3), poll_interval=0.05)


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
    results = await run_of_three(scripted)

    assert not lacking
    assert [result.succeeded for result in results] == [True] * 3


@quick
async def test_run_collects_although_one_answer_about_the_ended_batch_is_a_404(
    scripted, anthropic_emulator
):
    said: list[str] = []

    def change(call: str, answer: Answer) -> Answer:
        if "/msgbatch_" in call and b'"ended"' in answer.body:
            said.append(call)
            if len(said) == 2:
                return problem(404, "not_found_error", "No such batch")
        return answer

    scripted.change = change
    results = await run_of_three(scripted)

    assert len(said) >= 3
    assert [result.succeeded for result in results] == [True] * 3


@quick
async def test_run_goes_on_where_a_replica_is_far_behind(scripted, anthropic_emulator):
    said: list[str] = []

    def change(call: str, answer: Answer) -> Answer:
        if "/msgbatch_" in call and not call.endswith("/results") and b'"ended"' in answer.body:
            said.append(call)
            if 1 < len(said) < 8:
                behind = json.loads(answer.body)
                behind |= {"processing_status": "in_progress", "ended_at": None}
                return replace(answer, body=json.dumps(behind).encode())
        return answer

    scripted.change = change
    results = await run_of_three(scripted)

    assert len(said) >= 8
    assert [result.succeeded for result in results] == [True] * 3


@quick
async def test_wait_waits_for_a_batch_that_cannot_be_seen_at_first(scripted, anthropic_emulator):
    answers = [problem(404, "not_found_error", "No such batch")]
    scripted.script = lambda call: answers.pop() if answers and "/msgbatch_" in call else None

    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        job = await client.wait(await client.submit(numbered(3)), poll_interval=0.05)

    assert not answers
    assert job.is_complete


@quick
async def test_run_waits_for_a_batch_that_cannot_be_seen_at_first(scripted, anthropic_emulator):
    """A 404, and then a replica that says that it still goes on."""
    answers = [problem(404, "not_found_error", "No such batch")]
    scripted.script = lambda call: answers.pop() if answers and "/msgbatch_" in call else None

    results = await run_of_three(scripted)

    assert not answers
    assert [result.succeeded for result in results] == [True] * 3
