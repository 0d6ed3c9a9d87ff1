"""Of several comparisons no more find a difference that is not there than one test promises."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest

from meshflow_prefect import BatchResult
from meshflow_prefect.grading import PASSED, Grade, failed, not_graded
from meshflow_prefect.uses.ab_comparison import (
    Duel,
    compared,
    confidence_of_each,
    pairs_of,
    preference,
    preferred_by_grades,
)
from meshflow_prefect.uses.ab_report import ABReport, PairOutcome, VariantOutcome
from meshflow_prefect.uses.spending import Spending
from tests.support.results import failed as without_reply
from tests.support.results import replied

SEED, TESTS = 20261124, 1_000
NOISE = 2.6 * math.sqrt(0.05 * 0.95 / TESTS)


def duel(scores: list[float | None], *, confidence: float = 0.95, **replies) -> PairOutcome:
    """Compare `plain` and `careful` by scores: 1.0 where the careful one is better."""
    some = [replied("x")] * len(scores)
    found = Duel(a="plain", b="careful", **{"replies_a": some, "replies_b": some} | replies)
    preferences = [preference(f"case-{n}", score, "So.") for n, score in enumerate(scores)]
    return compared(found, preferences, confidence=confidence)


def report_of(*pairs: PairOutcome, names: str) -> ABReport:
    return ABReport(
        name="test",
        dataset="9 rows",
        grader="exact",
        cases=9,
        variants=tuple(
            VariantOutcome(name=name, model="m", statuses={}, refused=0, spent=Spending())
            for name in names
        ),
        pairs=pairs,
        judged=Spending(),
    )


def test_each_variant_is_compared_with_the_first_or_with_each_other():
    assert pairs_of("abc", "first") == [("a", "b"), ("a", "c")]
    assert pairs_of("abc", "all") == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs_of("ab", "all") == pairs_of("ab", "first") == [("a", "b")]


def test_several_comparisons_share_the_chance_to_be_wrong():
    assert confidence_of_each(1) == 0.95
    assert confidence_of_each(3) == pytest.approx(1 - 0.05 / 3)


@pytest.mark.parametrize(
    ("a", "b", "score", "reason"),
    [
        (PASSED, PASSED, 0.5, ""),
        (failed("bad"), PASSED, 1.0, "bad"),
        (PASSED, failed("bad"), 0.0, "bad"),
        (Grade(0.25, passed=False), Grade(0.5, passed=False, reason="half"), 1.0, ""),
        (PASSED, not_graded("no reply: expired"), None, "no reply: expired"),
        (not_graded("lost"), failed("bad"), None, "lost"),
    ],
)
def test_the_reply_with_the_higher_score_is_better(a, b, score, reason):
    found = preferred_by_grades("case-1", a, b)
    assert (found.id, found.score, found.reason) == ("case-1", score, reason)


def test_a_verdict_says_who_won_how_often_and_how_sure_that_is():
    found = duel([1.0] * 15 + [0.0] * 2 + [0.5] * 13)
    assert found.better == "careful"
    assert found.verdict == (
        "'careful' is better than 'plain': it wins 15 of 17 cases that differ (88.2 %, 95 % "
        "interval 63.6 % to 98.5 %; 13 ties; p = 0.002)"
    )
    other = duel([0.0] * 15 + [1.0] * 2 + [0.5])
    assert (other.better, other.worse) == ("plain", "careful")
    assert "'plain' is better than 'careful': it wins 15 of 17 cases" in other.verdict
    assert "95 % interval 63.6 % to 98.5 %; 1 tie;" in other.verdict


def test_a_verdict_says_when_a_difference_is_not_significant():
    found = duel([1.0] * 8 + [0.0] * 7)
    assert found.better == found.worse == ""
    assert found.verdict.startswith(
        "No significant difference between 'plain' and 'careful': 'careful' wins 8 of 15 cases"
    )


def test_ties_and_nothing_at_all_are_said_as_well():
    assert duel([0.5, 0.5]).verdict == (
        "No significant difference between 'plain' and 'careful': 2 cases, all of them ties"
    )
    nothing = duel([None, None])
    assert nothing.verdict == (
        "Nothing can be said of 'plain' and 'careful': no case could be compared"
    )
    assert (nothing.undecided, nothing.comparison.cases) == (2, 0)


def test_cases_that_cannot_be_decided_are_counted_and_left_out():
    found = duel([None, *[1.0] * 9])
    assert (found.undecided, found.comparison.cases, found.better) == (1, 9, "careful")
    assert len(found.preferences) == 10


def test_a_judge_with_another_opinion_in_the_other_order_prefers_what_it_preferred_once():
    found = duel([0.75, 0.25, 0.5])
    assert (found.comparison.wins, found.comparison.losses, found.comparison.ties) == (1, 1, 1)


def test_costs_and_tokens_are_compared_over_the_cases_with_both_replies():
    short = [replied("a", output_tokens=n) for n in (10, 20, 30)]
    long = [replied("a", output_tokens=n) for n in (20, 30, 41)]
    lost = without_reply("a")
    found = duel([0.5] * 5, replies_a=[*short, lost, short[0]], replies_b=[*long, long[0], lost])

    assert found.tokens.cases == 3
    assert found.tokens.mean == pytest.approx(31 / 3)
    # Half the price of claude-opus-5: US$ 12.50 for a million tokens.
    assert found.cost.mean == pytest.approx(31 / 3 * 12.5e-6)
    assert found.expense == "'careful' costs US$ 0.0001292 a case more than 'plain'"
    back = duel([0.5] * 3, replies_a=long, replies_b=short)
    assert back.expense == "'careful' costs US$ 0.0001292 a case less than 'plain'"


def test_a_cost_that_is_not_known_or_not_other_is_said():
    same, unknown = replied("a"), replace(replied("a"), cost_usd=None)
    assert duel([0.5] * 3).expense == "'careful' costs about as much as 'plain'"
    found = duel([0.5] * 2, replies_b=[same, unknown])
    assert (found.cost, found.tokens.mean) == (None, 0)
    assert found.expense == "What 'careful' costs beside 'plain' is not known"
    none = duel([None], replies_b=[BatchResult("x", "expired")])
    assert (none.cost.mean, none.tokens.mean) == (None, None)


def test_the_winner_is_better_than_each_of_the_others():
    wins, ties = duel([1.0] * 9), duel([0.5] * 9)

    def pair(a: str, b: str, like: PairOutcome = wins) -> PairOutcome:
        return replace(like, a=a, b=b)

    assert report_of(pair("a", "b"), names="ab").winner == "b"
    assert report_of(pair("a", "b", ties), names="ab").winner == ""
    assert report_of(pair("a", "b"), pair("a", "c"), names="abc").winner == ""
    every = [pair("a", "b"), pair("a", "c"), pair("b", "c")]
    assert report_of(*every, names="abc").winner == "c"


def test_the_correction_is_stated():
    two = duel([1.0] * 9, confidence=confidence_of_each(2))
    assert report_of(duel([1.0] * 9), names="ab").correction == ""
    assert report_of(two, two, names="abc").correction == (
        "Bonferroni, 2 comparisons: each interval is one of 97.5 %, so that in 95 % of tests all "
        "of them hold at once"
    )
    assert "97.5 % interval" in two.verdict


def test_a_report_is_written_as_json():
    report = report_of(duel([1.0, None]), names="ab")
    written = json.loads(json.dumps(report.to_dict()))
    assert written["pairs"][0]["preferences"][1]["score"] is None
    assert "preferences" not in report.figures()["pairs"][0]


@pytest.mark.parametrize(("variants", "which"), [(2, "first"), (3, "first"), (4, "all")])
@pytest.mark.parametrize("quality", [0.5, 0.8])
def test_without_a_difference_no_more_tests_find_one_than_promised(variants, which, quality):
    """Tests of `variants` that are all as good, 40 cases each, the replies drawn anew."""
    dice = random.Random(SEED)
    names = "abcd"[:variants]
    pairs = pairs_of(names, which)
    confidence = confidence_of_each(len(pairs))
    some = [replied("x")] * 40
    wrong = 0
    for _ in range(TESTS):
        good = {name: [dice.random() < quality for _ in range(40)] for name in names}
        outcomes = [
            compared(
                Duel(a=a, b=b, replies_a=some, replies_b=some),
                [
                    preference("x", 0.5 + (two - one) / 2, "")
                    for one, two in zip(good[a], good[b], strict=True)
                ],
                confidence=confidence,
            )
            for a, b in pairs
        ]
        wrong += any(outcome.better for outcome in outcomes)
    assert wrong / TESTS <= 0.05 + NOISE


def test_a_true_difference_is_found_in_nearly_every_test():
    dice = random.Random(SEED)
    some = [replied("x")] * 60
    found = []
    for _ in range(TESTS):
        scores = [
            0.5 + ((dice.random() < 0.9) - (dice.random() < 0.4)) / 2 for _ in range(len(some))
        ]
        pair = Duel(a="a", b="b", replies_a=some, replies_b=some)
        preferences = [preference("x", score, "") for score in scores]
        found.append(compared(pair, preferences, confidence=0.95).better)
    assert found.count("b") / TESTS > 0.999 - 0.002
    assert "a" not in found
