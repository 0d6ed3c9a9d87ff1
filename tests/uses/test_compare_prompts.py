"""An A/B test over the wire: one job for all variants, a verdict, and what each case costs more."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import pytest
from prefect import flow
from prefect.serializers import JSONSerializer, PickleSerializer

from meshflow_prefect import MeshflowError, Variant, compare_prompts
from meshflow_prefect.pricing import cost_of
from meshflow_prefect.uses.ab_judging import question_of
from meshflow_prefect.uses.judges import Judge
from tests.support.evals import (
    JUDGE,
    PREFERS_GOOD,
    PROMPTS,
    ab_rows,
    pages_of,
    prompts_compared,
)
from tests.support.files import sizes
from tests.support.jobs import SOON, run_of

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)

BY_JUDGE = {
    "grader": "judge",
    "judge_model": JUDGE,
    "rubric": PREFERS_GOOD,
    "question": "{topic}",
}


def rows(count: int = 40, *, plainly: float = 0.0, carefully: float = 1.0) -> list[dict]:
    return ab_rows(random.Random(7), count, plainly=plainly, carefully=carefully)


def billed(emulator) -> float:
    costs = [cost_of(model, usage) for model, usage in emulator.spend().items()]
    return float(sum(costs, Decimal(0)))


async def test_all_variants_are_one_job_with_the_same_rows_for_each(emulator):
    report = await prompts_compared(rows(6))

    assert sizes(emulator) == [12]
    assert [each.name for each in report.variants] == ["plain", "careful"]
    assert [each.score for each in report.variants] == [0.0, 1.0]
    assert [each.replies for each in report.variants] == [6, 6]
    (pair,) = report.pairs
    assert [each.score for each in pair.preferences] == [1.0] * 6
    assert pair.preferences[0].reason == "expected 'good', got 'poor'"
    assert (pair.better, report.winner) == ("careful", "careful")
    assert report.spent.cost_usd == pytest.approx(billed(emulator))


async def test_replies_are_told_apart_by_their_place_whatever_the_order_of_the_results(emulator):
    variants = {f"v{n}": f"{{topic}}, number {n}. [[reply: {n}]]" for n in range(5)}
    cases = [{"topic": f"t{n}", "expected": str(n)} for n in range(5)]

    report = await prompts_compared(cases, variants=variants, max_requests_per_batch=7)

    assert sizes(emulator) == [7, 7, 7, 4]
    assert [each.score for each in report.variants] == [0.2] * 5
    assert [each.score for each in report.pairs[0].preferences] == [0.0, 1.0, 0.5, 0.5, 0.5]


async def test_variants_may_differ_in_model_system_and_parameters(emulator):
    variants = {
        "small": Variant(prompt="{topic} [[words 40]]", max_tokens=50),
        "large": {"prompt": "{topic} [[words 40]]", "model": "claude-opus-5", "system": "Be kind."},
    }
    report = await prompts_compared(rows(8), variants=variants, model="claude-haiku-4-5")

    assert [each.model for each in report.variants] == [
        "claude-haiku-4-5-20251001",
        "claude-opus-5",
    ]
    assert set(emulator.spend()) == {each.model for each in report.variants}
    (pair,) = report.pairs
    assert pair.cost.is_significant
    assert pair.cost.mean > 0
    assert "'large' costs US$ 0.000" in pair.expense
    assert report.variants[1].spent.cost_usd > report.variants[0].spent.cost_usd


async def test_a_judge_sees_both_orders_in_a_second_batch_and_its_cost_is_told_apart(emulator):
    report = await prompts_compared(rows(10), **BY_JUDGE)

    assert sizes(emulator) == [20, 20]
    (pair,) = report.pairs
    assert pair.better == "careful"
    assert [each.score for each in pair.preferences] == [1.0] * 10
    assert pair.preferences[0].reason == "The second is."
    assert report.judged.requests == 20
    assert report.judged.cost_usd + sum(v.spent.cost_usd for v in report.variants) == pytest.approx(
        billed(emulator)
    )
    assert report.variants[0].score is None


async def test_replies_that_are_the_same_are_ties_and_no_judge_is_asked(emulator):
    report = await prompts_compared(rows(10, plainly=1.0), **BY_JUDGE)

    assert sizes(emulator) == [20]
    (pair,) = report.pairs
    assert (pair.comparison.ties, pair.better) == (10, "")
    assert pair.preferences[0].reason == "the replies are the same"


async def test_a_judge_that_prefers_the_first_place_prefers_nothing(emulator):
    rubric = '[[reply: {"reason": "It is first.", "winner": "first"}]]'
    report = await prompts_compared(rows(10), **BY_JUDGE | {"rubric": rubric})

    (pair,) = report.pairs
    assert (pair.comparison.ties, pair.better) == (10, "")
    assert pair.preferences[0].reason == "the judge preferred the same place in both orders"


async def test_a_judge_that_answers_nonsense_is_asked_again_and_then_the_case_is_left_out(emulator):
    nonsense = {"on": "rows", "outcome": "succeeded", "text": "Hm.", "batches": 1}
    cases = rows(10)
    cases[4]["rubric"] = "[[reply: Both lovely!]]"
    emulator.plan({**nonsense, "custom_id": "case-2-*-p0-ab"})

    report = await prompts_compared(cases, **BY_JUDGE)

    assert sizes(emulator) == [20, 20, 3]
    (pair,) = report.pairs
    assert (pair.undecided, pair.comparison.wins) == (1, 9)
    assert "the judge gave no verdict" in pair.preferences[4].reason


async def test_a_case_without_a_reply_of_one_variant_is_left_out(emulator):
    emulator.plan(
        {"on": "rows", "custom_id": "case-0-*-plain", "outcome": "canceled"},
        {"on": "rows", "custom_id": "case-1-*-careful", "outcome": "errored"},
        {"on": "rows", "custom_id": "case-1-*-careful", "outcome": "errored"},
    )
    report = await prompts_compared(rows(10), max_attempts=1)

    (pair,) = report.pairs
    assert (pair.undecided, pair.comparison.wins, pair.tokens.cases) == (2, 8, 8)
    assert dict(report.variants[0].statuses) == {"canceled": 1, "succeeded": 9}
    assert dict(report.variants[1].statuses) == {"succeeded": 9, "errored": 1}


async def test_a_variant_whose_every_request_fails_is_no_winner_and_no_crash():
    variants = PROMPTS | {"careful": {"prompt": PROMPTS["careful"], "model": "claude-none"}}
    report = await prompts_compared(rows(3), variants=variants)
    assert report.winner == ""
    assert report.verdict.startswith("Nothing can be said of 'plain' and 'careful'")
    assert (report.variants[1].score, report.variants[1].replies) == (None, 0)


async def test_three_variants_are_compared_each_with_each_and_the_correction_is_said(
    stack, emulator
):
    variants = PROMPTS | {"third": "Plainly, and again: {topic} {prompt}"}
    given = {"variants": variants, "pairs": "all", "name": "three"}
    state = await prompts_compared(rows(20), return_state=True, **given)
    report = await state.result()

    assert sizes(emulator) == [60]
    assert [(pair.a, pair.b, pair.better) for pair in report.pairs] == [
        ("plain", "careful", "careful"),
        ("plain", "third", ""),
        ("careful", "third", "careful"),
    ]
    assert report.winner == "careful"
    assert report.pairs[0].comparison.interval.confidence == pytest.approx(1 - 0.05 / 3)
    assert report.correction.startswith(
        "Bonferroni, 3 comparisons: each interval is one of 98.33 %"
    )
    (page,) = pages_of(stack, run_of(stack, state).id)
    assert page.key == "ab-three"
    assert "# three: careful is best" in page.data
    assert report.correction in page.data


@pytest.mark.parametrize("serializer", [PickleSerializer(), JSONSerializer()])
async def test_a_report_survives_a_result_storage(serializer):
    report = await prompts_compared(rows(4))
    assert serializer.loads(serializer.dumps(report)) == report
    assert json.loads(json.dumps(report.to_dict()))["winner"] == report.winner


async def test_what_fails_after_the_batches_is_repeated_without_new_ones(stack, emulator):
    reports = []

    @flow(retries=1)
    async def tested() -> None:
        reports.append(await compare_prompts(PROMPTS, rows(5), poll_interval=SOON, **BY_JUDGE))
        if len(reports) == 1:
            raise RuntimeError("after the report")

    state = await tested(return_state=True)

    assert state.is_completed(), state.message
    assert sizes(emulator) == [10, 10]
    assert reports[0] == reports[1]
    assert len(pages_of(stack, run_of(stack, state).id)) == 1


def test_a_judge_is_told_the_columns_and_not_the_prompts_that_are_compared():
    judge, asked = Judge(model=JUDGE), {"a": Variant(prompt="{x} {y}"), "b": Variant(prompt="{y}")}
    assert question_of("", asked, judge).text == "x: {x}\ny: {y}"
    assert question_of("", {"a": Variant(prompt="Say {x}.")}, judge).text == "{x}"
    assert question_of("Of {z}", asked, judge).text == "Of {z}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variants": {"a": "{topic}"}}, "variants: expected a mapping of names to at least two"),
        ({"variants": ["{topic}"] * 2}, "variants: expected a mapping of names to at least two"),
        ({"variants": {"a b": "x", "c": "y"}}, "the name 'a b' must be 1 to 32 letters, digits"),
        ({"variants": PROMPTS | {"c": "{topic"}}, "variants['c']: The template"),
        ({"variants": PROMPTS | {"c": {"promt": "x"}}}, "variants['c']: 'promt' is not a field"),
        ({"variants": PROMPTS | {"c": "{word}"}}, "row 0: column 'word' is missing"),
        (
            {"variants": PROMPTS | {"c": {"max_tokens": 0}}},
            "variants['c']: max_tokens: must be",
        ),
        ({"dataset": []}, "has no rows"),
        ({"dataset": [{"topic": "x", "prompt": "y"}]}, "row 0: column 'expected' is missing"),
        ({"pairs": "second"}, "pairs: expected 'first' or 'all', got 'second'"),
        ({"question": "{topic}"}, "question: only grader='judge' reads it"),
        (BY_JUDGE | {"question": "{word}"}, "row 0: column 'word' is missing"),
        (BY_JUDGE | {"rubric": ""}, "row 0: column 'rubric' is missing or empty"),
        (BY_JUDGE | {"judge_model": ""}, "judge_model: name the model that judges"),
        ({"name": "A/B"}, "name: expected 1 to 60 of a-z, 0-9 and '-', got 'A/B'"),
    ],
)
async def test_what_makes_no_test_is_an_error_before_anything_is_submitted(emulator, options, said):
    with pytest.raises(MeshflowError) as error:
        await prompts_compared(**{"dataset": rows(2)} | options)
    assert said in error.value.message
    assert emulator.batches() == []
