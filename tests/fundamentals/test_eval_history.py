"""A history has one entry a run, fits its place, and finds the drops that are there."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import SourceError
from meshflow_prefect.uses.eval_history import (
    EvalHistory,
    EvalRun,
    compare_runs,
    packed,
    unpacked,
)

SEED, TESTS = 20261124, 1_000
NOISE = 2.6 * math.sqrt(0.05 * 0.95 / TESTS)


def run(number: int = 1, scores: Sequence[float] = (1.0, 0.0), **fields) -> EvalRun:
    mean = sum(scores) / len(scores)
    given = {
        "run_id": f"run-{number}",
        "name": "eval",
        "at": f"2026-11-{number:02}T02:00:00+00:00",
        "model": "claude-opus-5",
        "grader": "exact",
        "score": mean,
        "low": 0.0,
        "high": 1.0,
        "cases": len(scores),
        "passed_cases": sum(score == 1.0 for score in scores),
        "ungraded": 0,
        "cost_usd": 0.5,
        "passed": True,
        "scores": packed({f"case-{n}": score for n, score in enumerate(scores)}),
    }
    return EvalRun(**given | fields)


def without_scores(of: EvalRun) -> EvalRun:
    return replace(of, scores="")


def history_of(count: int, keep: int = 100, **fields) -> EvalHistory:
    history = EvalHistory()
    for number in range(1, count + 1):
        history = history.with_run(run(number, **fields), keep=keep)
    return history


@given(st.dictionaries(st.text(), st.integers(0, 100).map(lambda n: n / 100), max_size=30))
def test_scores_are_packed_to_a_hundredth_and_come_back(scores):
    assert sorted(unpacked(packed(scores)).values()) == sorted(scores.values())


def test_of_many_cases_the_same_ones_are_kept_whatever_joins_the_dataset():
    many = {f"case-{n}": 1.0 for n in range(30_000)}
    grown = many | {f"new-{n}": 1.0 for n in range(1_000)}
    one, other = unpacked(packed(many)), unpacked(packed(grown))

    assert len(one) == len(other) == 10_000
    assert len(one.keys() & other.keys()) > 9_500


def test_a_history_comes_back_from_its_place():
    history = history_of(3)
    assert EvalHistory.of(json.loads(json.dumps(history.to_dict())), "x").runs == history.runs
    assert EvalHistory.of(None, "x").runs == ()


def test_what_a_later_version_keeps_more_of_a_run_is_left_out():
    stored = history_of(1).to_dict()
    stored["eval_runs"][0]["colour"] = "green"
    assert EvalHistory.of(stored, "x").runs == history_of(1).runs


@pytest.mark.parametrize("stored", [[], {}, {"eval_runs": 7}, {"eval_runs": [{"score": 1}]}, "x"])
def test_another_value_at_the_place_is_refused(stored):
    with pytest.raises(SourceError, match="'variable:x' holds something else"):
        EvalHistory.of(stored, "variable:x")


def test_a_run_that_is_executed_again_replaces_its_own_entry_and_compares_as_before():
    history = history_of(3)
    again = history.with_run(run(2, [1.0, 1.0]), keep=100)

    assert [each.run_id for each in again.runs] == ["run-1", "run-2", "run-3"]
    assert again.runs[1].score == 1.0
    assert again.last(run(3)).score == 1.0
    assert [each.run_id for each in history.before("run-2", "eval")] == ["run-1"]


def test_only_the_last_runs_are_kept_and_only_the_last_two_with_scores():
    history = history_of(9, keep=4)
    assert [each.run_id for each in history.runs] == [f"run-{n}" for n in (6, 7, 8, 9)]
    assert [bool(each.scores) for each in history.runs] == [False, False, True, True]


def test_evals_of_other_names_share_a_history_and_are_left_alone():
    history = history_of(2).with_run(run(3, name="other"), keep=1)
    assert [each.name for each in history.runs] == ["eval", "eval", "other"]
    assert history.last(run(4, name="other")).run_id == "run-3"
    assert history.last(run(4)).run_id == "run-2"


def test_a_run_is_compared_with_the_last_one_that_was_graded_in_the_same_way():
    history = history_of(2).with_run(run(3, grader="judge claude-opus-5"), keep=9)
    assert history.last(run(4)).run_id == "run-2"
    assert history.last(run(4, grader="json")) is None


@pytest.mark.parametrize("room", [400, 700, 2_000, 5_000])
@pytest.mark.parametrize("cases", [2, 150, 3_000])
@pytest.mark.parametrize("runs", [1, 2, 40])
def test_a_small_place_has_fewer_runs_and_scores_and_always_the_newest(room, cases, runs):
    history = history_of(runs, scores=[1.0] * cases)

    fitted = history.fitted(lambda value: len(orjson.dumps(value)) <= room)

    assert len(orjson.dumps(fitted.to_dict())) <= room
    assert fitted.runs[-1].run_id == f"run-{runs}"
    if room == 5_000:
        assert len(fitted.runs) >= min(runs, 7)
        assert len(unpacked(fitted.runs[-1].scores)) >= min(cases, 75)


def test_a_place_that_is_too_small_for_one_run_gets_its_figures_alone():
    fitted = history_of(3).fitted(lambda value: False)
    assert [(each.run_id, each.scores) for each in fitted.runs] == [("run-3", "")]


def test_a_variable_holds_the_scores_of_a_hundred_cases_to_pair_by():
    held = history_of(30, scores=[0.0, 1.0] * 100)
    fitted = held.fitted(lambda value: len(orjson.dumps(value)) <= 5_000)

    found = compare_runs(fitted.runs[-1], run(31, [0.0, 1.0] * 100))
    assert 100 <= found.paired.cases < 200
    assert found.paired.ties == found.paired.cases


def test_the_same_cases_are_paired_and_a_drop_is_told_from_chance():
    found = compare_runs(run(1, [1.0] * 20), run(2, [1.0] * 12 + [0.0] * 8))
    assert (found.change, found.paired.cases, found.paired.losses) == ("worse", 20, 8)
    assert round(found.difference, 6) == -0.4
    assert str(found) == (
        "worse than the last run: -0.400 from 1.000 (2026-11-01 02:00, claude-opus-5); of 20 cases "
        "that both graded, 0 got better and 8 worse, p = 0.008"
    )

    chance = compare_runs(run(1, [1.0] * 20), run(2, [1.0] * 17 + [0.0] * 3))
    assert (chance.change, chance.is_significant) == ("no significant difference", False)
    assert str(chance).startswith("no significant difference to the last run: -0.150 from 1.000")
    assert found.previous.scores == ""
    assert json.loads(json.dumps(found.to_dict()))["change"] == "worse"


def test_cases_that_the_other_run_does_not_have_are_compared_by_pass_rates():
    earlier = without_scores(run(1, [1.0] * 50))
    found = compare_runs(earlier, run(2, [1.0] * 25 + [0.0] * 25))
    assert (found.change, found.paired) == ("worse", None)
    assert "; by the pass rates, p < 0.001" in str(found)
    assert compare_runs(without_scores(run(1, [0.0] * 50)), run(2, [1.0] * 50)).change == "better"


def test_ungraded_cases_are_no_drop():
    ungraded = without_scores(run(2, [1.0] * 10 + [0.0] * 40, ungraded=40))
    assert not compare_runs(run(1, [1.0] * 50), ungraded).is_significant


@pytest.mark.parametrize("paired", [True, False])
def test_without_a_change_no_more_drops_are_told_than_promised(paired):
    dice = random.Random(SEED)

    def sample() -> list[float]:
        return [float(dice.random() < 0.8) for _ in range(60)]

    alarms = 0
    for _ in range(TESTS):
        earlier = run(1, sample())
        earlier = earlier if paired else without_scores(earlier)
        alarms += compare_runs(earlier, run(2, sample())).is_significant
    assert alarms / TESTS <= 0.05 + NOISE
