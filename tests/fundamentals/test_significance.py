"""Intervals keep what they promise, and a difference is only called one where there is one."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import InvalidRequestError
from meshflow_prefect.significance import (
    chance,
    compare_paired,
    compare_pass_counts,
    mean_interval,
    paired_difference,
    pass_rate_interval,
)

SEED = 20261122
TESTS = 1_000
NOISE = 2.6 * math.sqrt(0.05 * 0.95 / TESTS)
"""A rate of 5 % is seen above 5 % + this in one of 200 simulations."""


def test_the_interval_of_a_pass_rate_is_that_of_wilson():
    # Newcombe 1998, table I: 81 of 263 and 15 of 148.
    first, second = pass_rate_interval(81, 263), pass_rate_interval(15, 148)
    assert (round(first.low, 4), round(first.high, 4)) == (0.2553, 0.3662)
    assert (round(second.low, 4), round(second.high, 4)) == (0.0624, 0.1605)


def test_all_passed_is_not_certain_and_no_cases_say_nothing():
    assert pass_rate_interval(10, 10).low < 0.8
    assert pass_rate_interval(10, 10).high == 1.0
    assert (pass_rate_interval(0, 0).low, pass_rate_interval(0, 0).high) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_the_interval_of_a_mean_holds_it_and_lies_between_zero_and_one(scores):
    interval = mean_interval(scores)

    assert 0.0 <= interval.low <= interval.high <= 1.0
    if scores:
        mean = sum(scores) / len(scores)
        assert interval.low - 1e-9 <= mean <= interval.high + 1e-9


def test_one_score_says_nothing_of_the_mean():
    assert (mean_interval([0.5]).low, mean_interval([0.5]).high) == (0.0, 1.0)


def test_scores_of_zero_and_one_have_the_interval_of_their_pass_rate():
    assert mean_interval([1.0] * 20) == pass_rate_interval(20, 20)
    assert mean_interval([1.0] * 3 + [0.0] * 2) == pass_rate_interval(3, 5)


@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_nineteen_of_twenty_intervals_of_a_mean_hold_the_true_one(rate):
    dice = random.Random(SEED)
    held = 0
    for _ in range(TESTS):
        marks = [sum(dice.random() < rate for _ in range(4)) / 4 for _ in range(40)]
        interval = mean_interval(marks)
        held += interval.low <= rate <= interval.high
    assert held / TESTS >= 0.95 - NOISE


PAIRS = st.lists(st.tuples(st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 0.5, 1])), max_size=40)


@given(PAIRS)
def test_a_comparison_counts_every_case_and_the_test_agrees_with_its_interval(pairs):
    found = compare_paired([a for a, _ in pairs], [b for _, b in pairs])

    assert found.wins + found.losses + found.ties == found.cases == len(pairs)
    assert found.is_significant == (found.p_value < 0.05)
    assert (found.interval is None) == (found.win_rate is None) == (found.wins + found.losses == 0)
    if found.interval is not None:
        assert found.interval.low <= found.win_rate <= found.interval.high


@given(PAIRS)
def test_swapping_a_and_b_swaps_the_verdict(pairs):
    a, b = [a for a, _ in pairs], [b for _, b in pairs]
    one, other = compare_paired(a, b), compare_paired(b, a)

    assert (one.wins, one.losses, one.mean_a) == (other.losses, other.wins, other.mean_b)
    assert one.p_value == other.p_value
    assert {one.better, other.better} in ({""}, {"a", "b"})


def test_a_known_test_of_mcnemar():
    # Of 15 cases that differ 12 are won: 2 · P(X ≥ 12 | 15, ½) = 0.0352.
    found = compare_paired([0] * 12 + [1] * 3 + [1] * 85, [1] * 12 + [0] * 3 + [1] * 85)

    assert round(found.p_value, 4) == 0.0352
    assert (found.better, found.win_rate) == ("b", 0.8)
    assert round(found.difference, 6) == 0.09


@pytest.mark.parametrize(
    ("cases", "mean", "levels", "confidence"),
    [(20, 0.7, 1, 0.95), (300, 0.95, 1, 0.95), (60, 0.6, 4, 0.95), (60, 0.5, 1, 0.9)],
)
def test_without_a_difference_no_more_comparisons_are_significant_than_promised(
    cases, mean, levels, confidence
):
    dice = random.Random(SEED)

    def sample() -> list[float]:
        return [sum(dice.random() < mean for _ in range(levels)) / levels for _ in range(cases)]

    false_alarms = sum(
        compare_paired(sample(), sample(), confidence=confidence).is_significant
        for _ in range(TESTS)
    )

    assert false_alarms / TESTS <= 1 - confidence + NOISE


def test_a_true_difference_is_found():
    dice = random.Random(SEED)
    found = [
        compare_paired(
            [float(dice.random() < 0.6) for _ in range(200)],
            [float(dice.random() < 0.85) for _ in range(200)],
        ).better
        for _ in range(100)
    ]
    assert found.count("b") >= 99
    assert "a" not in found


def test_samples_of_different_sizes_are_refused():
    with pytest.raises(InvalidRequestError, match="2 and 1; each case needs a score in both"):
        compare_paired([1, 0], [1])


def test_a_comparison_is_written_as_json():
    found = compare_paired([0.0] * 9, [1.0] * 9)
    written = json.loads(json.dumps(found.to_dict()))
    assert written["better"] == "b"
    assert written["interval"]["confidence"] == 0.95
    assert json.loads(json.dumps(compare_paired([], []).to_dict()))["interval"] is None


def test_the_interval_of_a_mean_difference_is_that_of_student():
    # Differences 1, 2, 3, 4: mean 2.5, standard error 0.6455, t(3) = 3.1824.
    found = paired_difference([10, 20, 30, 40], [11, 22, 33, 44])

    assert (found.cases, found.mean) == (4, 2.5)
    assert (round(found.interval.low, 3), round(found.interval.high, 3)) == (0.446, 4.554)
    assert found.is_significant


@pytest.mark.parametrize(("a", "b"), [([], []), ([0.25], [0.75])])
def test_of_fewer_than_two_cases_a_difference_has_no_interval(a, b):
    found = paired_difference(a, b)
    assert found.mean == (0.5 if a else None)
    assert (found.interval, found.is_significant) == (None, False)


def test_equal_differences_have_no_spread_whatever_floating_point_makes_of_them():
    a = [0.1 * n for n in range(1, 30)]
    found = paired_difference(a, [each + 1e-4 for each in a])
    assert found.interval.low == found.interval.high == found.mean
    assert not paired_difference(a, a).is_significant


def test_nineteen_of_twenty_intervals_of_a_difference_hold_the_true_one():
    dice = random.Random(SEED)
    held = 0
    for _ in range(TESTS):
        a = [dice.gauss(10, 3) for _ in range(30)]
        interval = paired_difference(a, [each + dice.gauss(0.5, 2) for each in a]).interval
        held += interval.low <= 0.5 <= interval.high
    assert held / TESTS >= 0.95 - NOISE


def test_two_pass_rates_are_compared_by_the_test_of_fisher():
    # The lady tasting tea: 3 of 4 against 1 of 4.
    assert round(compare_pass_counts(3, 4, 1, 4), 4) == 0.4857
    assert compare_pass_counts(90, 100, 50, 100) < 0.001
    assert compare_pass_counts(0, 0, 5, 10) == 1.0


def test_a_chance_is_a_word():
    assert (chance(0.0312), chance(4e-7)) == ("p = 0.031", "p < 0.001")
