"""Twenty A/B tests over the wire in which B is truly better, and twenty without a difference.

The emulator replies to each case and prompt as a die that was thrown for it says: `good` or `poor`,
with the same chances for both prompts, or with better ones for B. Every other test is decided by a
judge, who sees both replies in both orders, and prefers the good one, or the first place. The same
chances with 1,000 tests and more, without the wire, are in `fundamentals/test_ab_comparison.py`.
"""

from __future__ import annotations

import random

import pytest

from meshflow_prefect import ABReport
from tests.support.evals import JUDGE, PREFERS_GOOD, ab_rows, prompts_compared

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)

TESTS, CASES, SEED = 20, 60, 20261124
MOST_FALSE_ALARMS = 3
"""Of 20 tests at 5 % each, 3 or fewer are wrong in 98.4 % of all such series."""

BY_JUDGE = {
    "grader": "judge",
    "judge_model": JUDGE,
    "rubric": PREFERS_GOOD,
    "question": "{topic}",
}


async def report_of(number: int, *, plainly: float, carefully: float) -> ABReport:
    dice = random.Random(SEED + number)
    rows = ab_rows(dice, CASES, plainly=plainly, carefully=carefully)
    return await prompts_compared(rows, **(BY_JUDGE if number % 2 else {}))


async def test_where_b_is_truly_better_every_verdict_says_so():
    reports = [await report_of(number, plainly=0.5, carefully=0.9) for number in range(TESTS)]

    assert [report.winner for report in reports] == ["careful"] * TESTS
    assert all(report.verdict.startswith("'careful' is better than") for report in reports)
    rates = [report.pairs[0].comparison.win_rate for report in reports]
    print(
        f"\nB better: {TESTS} of {TESTS} verdicts, win rates {min(rates):.2f} to {max(rates):.2f}"
    )
    # Of the cases that differ B wins 0.9 · 0.5 / (0.9 · 0.5 + 0.1 · 0.5), by what was thrown.
    truth = 0.9
    held = sum(
        report.pairs[0].comparison.interval.low <= truth <= report.pairs[0].comparison.interval.high
        for report in reports
    )
    assert held >= TESTS - MOST_FALSE_ALARMS


async def test_without_a_difference_no_more_verdicts_find_one_than_the_interval_promises():
    reports = [await report_of(100 + n, plainly=0.7, carefully=0.7) for n in range(TESTS)]

    alarms = [report for report in reports if report.winner]
    print(f"\nno difference: {len(alarms)} of {TESTS} verdicts find one")
    assert len(alarms) <= MOST_FALSE_ALARMS
    others = [report for report in reports if not report.winner]
    assert all(report.verdict.startswith("No significant difference") for report in others)
    for report in others:
        interval = report.pairs[0].comparison.interval
        assert interval.low <= 0.5 <= interval.high
