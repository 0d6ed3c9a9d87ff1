"""What evals leave for the next ones, and that a run that is executed again leaves it once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prefect import flow
from prefect.variables import Variable

from meshflow_prefect import ContentChangedError, EvalReport, evaluate
from meshflow_prefect.grading import PASSED, Grade
from tests.support.evals import JUDGE, cases, evaluated, pages_of, verdict
from tests.support.files import sizes, write_rows
from tests.support.jobs import SOON, run_of

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)

BY_JUDGE = {"grader": "judge", "judge_model": JUDGE, "rubric": verdict(5)}


def runs_in(place) -> list[dict]:
    return json.loads(place.read_text())["eval_runs"]


async def test_a_run_is_compared_with_the_one_before_and_a_drop_is_told_from_chance(tmp_path):
    place = tmp_path / "new" / "history.json"
    rows = [cases(good=20), cases(good=18, bad=2), cases(good=8, bad=12)]
    first, second, third = [await evaluated(each, history=str(place)) for each in rows]

    assert (first.comparison, len(first.trend)) == (None, 1)
    assert second.comparison.change == "no significant difference"
    assert second.comparison.paired.cases == 20
    assert third.comparison.change == "worse"
    assert (third.comparison.paired.losses, third.comparison.paired.wins) == (10, 0)
    assert third.comparison.difference == pytest.approx(-0.5)
    assert [run.score for run in third.trend] == [1.0, 0.9, 0.4]
    assert [run["score"] for run in runs_in(place)] == [1.0, 0.9, 0.4]
    assert "of 20 cases that both graded, 0 got better and 10 worse" in str(third)


async def test_the_same_cases_are_paired_whatever_the_order_and_the_others_are_left_out(tmp_path):
    place = str(tmp_path / "h.json")
    rows = cases(good=6, bad=4)
    await evaluated(rows, history=place)
    report = await evaluated([*reversed(rows[:9]), *cases(good=11)[10:]], history=place)

    assert (report.comparison.paired.cases, report.comparison.paired.ties) == (9, 9)


async def test_cases_that_were_not_graded_are_not_compared(emulator, tmp_path):
    place = str(tmp_path / "h.json")
    await evaluated(cases(good=20), history=place)
    emulator.plan({"on": "rows", "outcome": "canceled", "custom_id": "case-1*"})
    report = await evaluated(cases(good=20), history=place)

    assert (report.ungraded, report.score) == (11, 0.45)
    # Less than half of this run's cases would be too few; these are all that it graded.
    assert report.comparison.paired.cases == 9
    assert not report.comparison.is_significant


async def test_a_variable_keeps_the_last_runs_of_an_eval_of_many_cases():
    for _ in range(3):
        report = await evaluated(cases(good=300), history="variable:eval-of-many", keep=2)

    held = await Variable.aget("eval-of-many")
    assert len(held["eval_runs"]) == 2
    assert len(json.dumps(held)) <= 5_000
    assert len(report.trend) == 2
    assert report.comparison.change == "no significant difference"


async def test_another_model_is_compared_and_another_grader_is_not(tmp_path):
    place = str(tmp_path / "h.json")
    await evaluated(cases(good=2), history=place)
    other = await evaluated(cases(good=2), history=place, model="claude-opus-5")
    judged = await evaluated(cases(good=2), history=place, **BY_JUDGE)

    assert other.comparison.previous.model != "claude-opus-5"
    assert (judged.comparison, len(judged.trend)) == (None, 3)


async def test_below_the_threshold_history_and_page_are_there_before_the_run_fails(stack, tmp_path):
    place = tmp_path / "h.json"

    @flow
    async def nightly() -> None:
        options = {"history": str(place), "poll_interval": SOON}
        report = await evaluate(cases(good=1, bad=3), threshold=0.5, **options)
        report.raise_below_threshold()

    state = await nightly(return_state=True)

    assert state.is_failed()
    assert "below the threshold of 0.5" in state.message
    (run,) = runs_in(place)
    assert (run["score"], run["passed"]) == (0.25, False)
    (page,) = pages_of(stack, run_of(stack, state).id)
    assert "**below the threshold**" in page.data


class Breaking:
    """A grader that breaks something, whatever it is told, the first time."""

    def __init__(self, act) -> None:
        self.act, self.called = act, 0

    def check(self, expected: Any) -> None:
        pass

    def grade(self, output: str, expected: Any) -> Grade:
        self.called += 1
        if self.called == 1:
            self.act()
        return PASSED


@flow(retries=1)
async def retried(dataset: Any, grader: Any, **options: Any) -> EvalReport:
    return await evaluate(dataset, grader=grader, poll_interval=SOON, **options)


async def test_what_fails_after_the_batch_is_repeated_without_a_new_one(stack, emulator, tmp_path):
    place = tmp_path / "history" / "h.json"

    def act() -> None:
        # Nothing can be written there, after the place was checked, and the batch paid for.
        place.parent.rmdir()
        place.parent.write_text("in the way")

    grader = Breaking(act)

    @flow(retries=1)
    async def nightly() -> EvalReport:
        if grader.called:
            place.parent.unlink()
        options = {"history": str(place), "poll_interval": SOON}
        return await evaluate(cases(good=3), grader=grader, **options)

    state = await nightly(return_state=True)

    assert state.is_completed(), state.message
    assert sizes(emulator) == [3]
    assert grader.called == 6
    assert len(runs_in(place)) == 1
    assert run_of(stack, state).run_count == 2


async def test_a_run_that_is_executed_again_has_one_entry_one_page_and_the_same_comparison(
    stack, emulator, tmp_path
):
    place = tmp_path / "h.json"
    await evaluated(cases(good=20), history=str(place))
    reports: list[EvalReport] = []

    @flow(retries=1)
    async def nightly() -> None:
        options = {"history": str(place), "poll_interval": SOON}
        reports.append(await evaluate(cases(good=10, bad=10), **options))
        if len(reports) == 1:
            raise RuntimeError("after the report")

    state = await nightly(return_state=True)

    assert state.is_completed(), state.message
    assert reports[0] == reports[1]
    assert reports[1].comparison.change == "worse"
    assert len(runs_in(place)) == 2
    assert len(pages_of(stack, run_of(stack, state).id)) == 1
    assert sizes(emulator) == [20, 20]


@pytest.mark.parametrize("rows", [cases(good=3), cases(good=2), cases(good=1, bad=1)])
async def test_a_dataset_that_changes_after_the_batch_is_an_error_and_costs_nothing(
    emulator, tmp_path, rows
):
    source = write_rows(tmp_path / "cases.jsonl", [*cases(good=2)])

    def act() -> None:
        write_rows(tmp_path / "cases.jsonl", rows)
        raise RuntimeError("in the middle")

    if rows == cases(good=2):
        report = await retried(source, Breaking(act))
        assert report.score == 1.0
    else:
        with pytest.raises(ContentChangedError, match="Restore the dataset and retry the run"):
            await retried(source, Breaking(act))
    assert sizes(emulator) == [2]


async def test_two_evals_of_one_run_need_names_and_share_a_history(emulator, tmp_path):
    place = tmp_path / "h.json"

    @flow
    async def both() -> list[EvalReport]:
        return [
            await evaluate(cases(good=2), name=name, history=str(place), poll_interval=SOON)
            for name in ("one", "other")
        ]

    await both()
    reports = await both()

    assert [run["name"] for run in runs_in(place)] == ["one", "other"] * 2
    assert [report.comparison.paired.cases for report in reports] == [2, 2]
