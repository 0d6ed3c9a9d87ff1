"""Replies as a type, over the wire: asked for, validated, and tried again at the price of both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshflow_prefect import BatchRequest, BatchResult, total_cost
from meshflow_prefect.attempts import merge, worth_another_try
from meshflow_prefect.judging import grade_of, judge_request, pair_requests, preference_of
from meshflow_prefect.reporting import standard_cost
from meshflow_prefect.structured import OutputType
from tests.fundamentals.test_structured import PAINTED, Invoice

INVOICE = '{"number": "1", "issued": "2026-01-31", "currency": "EUR", "lines": []}'
SOON = 0.05


def asked(*prompts: str, wanted: object = Invoice, **fields) -> tuple[OutputType, list]:
    kind = OutputType.of(wanted)
    requests = [BatchRequest(f"row-{n}", text, **fields) for n, text in enumerate(prompts)]
    return kind, [kind.ask(request) for request in requests]


@pytest.mark.parametrize("wanted", [Invoice, PAINTED])
async def test_a_schema_is_taken_and_its_reply_is_of_the_type(client, wanted):
    kind, requests = asked("The lamp, 3 pounds.", wanted=wanted)

    (result,) = [kind.parse(row) for row in await client.run(requests, poll_interval=SOON)]

    assert result.error is None
    assert result.parsed == (
        Invoice.model_validate_json(result.output) if wanted is Invoice else result.parsed
    )


async def test_a_prompt_can_ask_the_emulator_for_any_reply_good_or_bad(client):
    kind, requests = asked(f"[[reply: {INVOICE}]]", "[[reply: No.]]", "[[refuse]]", "[[words 9]]")

    results = [kind.parse(row) for row in await client.run(requests, poll_interval=SOON)]

    assert [row.status for row in results] == ["succeeded", "errored", "errored", "succeeded"]
    assert results[0].parsed.number == "1"
    assert "Invalid JSON" in results[1].error
    assert [worth_another_try(row) for row in results] == [False, True, False, False]


async def test_a_reply_that_is_cut_is_billed_and_says_that_it_was_cut(client):
    kind, requests = asked("A long invoice.", max_tokens=5)
    (result,) = [kind.parse(row) for row in await client.run(requests, poll_interval=SOON)]

    assert result.error.startswith("invalid_output: the reply was cut (max_tokens)")
    assert result.cost_usd > 0


async def test_the_next_attempt_can_be_right_and_the_row_costs_both(client, anthropic_emulator):
    anthropic_emulator.plan(
        {"on": "rows", "custom_id": "row-1", "outcome": "succeeded", "text": '{"number": 1}'}
    )
    kind, requests = asked(*[f"[[reply: {INVOICE}]] {n}" for n in range(3)])

    first = [kind.parse(row) for row in await client.run(requests, poll_interval=SOON)]
    again = [each for each, row in zip(requests, first, strict=True) if worth_another_try(row)]
    second = [kind.parse(row) for row in await client.run(again, poll_interval=SOON)]
    merged = merge(first, second)

    assert [row.custom_id for row in again] == ["row-1"]
    assert first[1].error == "invalid_output: number: Input should be a valid string (and 3 more)"
    assert all(row.parsed.number == "1" for row in merged)
    assert [row.attempts for row in merged] == [1, 2, 1]
    assert total_cost(merged) == total_cost([*first, *second])
    assert standard_cost(merged) == 2 * total_cost(merged)
    assert sum(row.tokens for row in merged) == spent(anthropic_emulator)


def spent(emulator) -> int:
    (model,) = emulator.spend().values()
    return model["input_tokens"] + model["output_tokens"]


async def test_a_judge_is_a_request_like_any_other(client):
    rubric = 'Praise the south. [[reply when Aden: {"reason": "It does.", "mark": 5}]]'
    asked = [
        judge_request(
            f"{name}-judge", rubric=rubric, question="Where?", answer=name, model="claude-opus-5"
        )
        for name in ("Aden", "Bergen")
    ]
    good, other = [grade_of(row) for row in await client.run(asked, poll_interval=SOON)]

    assert (good.score, good.passed, good.reason) == (1.0, True, "It does.")
    assert (other.score, other.passed, other.problem) == (0.0, False, "")


async def test_a_judge_of_pairs_finds_the_better_one_in_both_places(client):
    rubric = (
        'Praise Aden. [[reply when <first>\nAden: {"reason": "1", "winner": "first"}]]'
        '[[reply when <second>\nAden: {"reason": "2", "winner": "second"}]]'
        '[[reply: {"reason": "Neither.", "winner": "tie"}]]'
    )

    async def preferred(a: str, b: str) -> BatchResult:
        both = pair_requests("x", rubric=rubric, question="Where?", a=a, b=b, model="claude-opus-5")
        return preference_of(await client.run(both, poll_interval=SOON)).score

    assert await preferred("Bergen", "Aden") == 1.0
    assert await preferred("Aden", "Bergen") == 0.0
    assert await preferred("Oslo", "Bergen") == 0.5


def test_what_was_parsed_stays_out_of_what_is_sent_again():
    kind, (request,) = asked("Hello.")
    assert replace(request, custom_id="other").params == request.params
    assert kind.schema == request.params["output_config"]["format"]["schema"]
