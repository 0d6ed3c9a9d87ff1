"""An eval over the wire: replies are graded, by a grader or a judge, and come to figures."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal

import pytest
from prefect.serializers import JSONSerializer, PickleSerializer

from meshflow_prefect import BelowThresholdError, InvalidRequestError, MeshflowError, evaluate
from meshflow_prefect.grading import ExactMatch
from meshflow_prefect.pricing import cost_of
from tests.support.evals import JUDGE, case, cases, evaluated, pages_of, verdict
from tests.support.files import sizes, write_rows
from tests.support.jobs import SOON, run_of

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)

BY_JUDGE = {"grader": "judge", "judge_model": JUDGE}


def billed(emulator, model: str | None = None) -> float:
    spend = emulator.spend().items()
    costs = [cost_of(name, usage) for name, usage in spend if model in (None, name)]
    return float(sum(costs, Decimal(0)))


@pytest.mark.parametrize(
    ("grader", "rows", "scores"),
    [
        ("exact", [case(0, " yes "), case(1, "Yes")], [1, 0]),
        (ExactMatch(ignore_case=True), [case(0, "yes"), case(1, "Yes")], [1, 1]),
        ("regex", [case(0, "In 1066.", r"\d{4}"), case(1, "Long ago.", r"\d{4}")], [1, 0]),
        ("json", [case(0, '{"a": 1.0}', {"a": 1}), case(1, "[]", '{"a": 1}')], [1, 0]),
    ],
)
async def test_replies_are_graded_by_what_is_expected(emulator, grader, rows, scores):
    report = await evaluated(rows, grader=grader)

    assert [each.score for each in report.grades] == scores
    assert [each.id for each in report.grades] == ["case-0", "case-1"]
    assert sizes(emulator) == [2]


async def test_the_report_has_score_interval_failures_statuses_tokens_and_cost(emulator):
    report = await evaluated(cases(good=30, bad=25), model="claude-opus-5", max_tokens=50)

    assert (report.cases, report.passed_cases, report.ungraded) == (55, 30, 0)
    assert report.score == report.pass_rate == 30 / 55
    assert report.interval.low < 30 / 55 < report.interval.high
    assert report.interval == report.pass_interval
    assert dict(report.statuses) == {"succeeded": 55}
    assert [each.id for each in report.failures] == [f"case-{n}" for n in range(30, 50)]
    assert report.failures[0].reason == "expected 'yes', got 'no'"
    (spent,) = emulator.spend().values()
    assert report.spent.tokens == spent["input_tokens"] + spent["output_tokens"]
    assert report.spent.cost_usd == pytest.approx(billed(emulator))
    assert report.judged.requests == 0


async def test_a_prompt_with_columns_a_system_and_parameters_reach_every_request(emulator):
    rows = [{"who": "Ann", "tone": "kind", "expected": "Hi Ann."}]
    report = await evaluated(
        rows, prompt="Greet {who}. [[reply: Hi {who}.]]", system="Be {tone}.", max_tokens=20
    )
    assert report.score == 1.0


async def test_a_judge_gives_marks_in_a_second_batch_and_its_cost_is_told_apart(emulator):
    rows = [case(n, "yes", rubric=f"Be brief. {verdict(mark)}") for n, mark in enumerate([1, 3, 5])]

    report = await evaluated(rows, **BY_JUDGE)

    assert [each.score for each in report.grades] == [0.0, 0.5, 1.0]
    assert [each.passed for each in report.grades] == [False, False, True]
    assert report.grades[0].reason == "So it is."
    assert sizes(emulator) == [3, 3]
    assert report.evaluated.cost_usd == pytest.approx(billed(emulator, report.model))
    assert report.judged.cost_usd == pytest.approx(billed(emulator, JUDGE))
    assert report.spent.cost_usd == pytest.approx(billed(emulator))
    assert report.grader == f"judge {JUDGE}"


async def test_a_rubric_for_all_and_a_lower_mark_that_passes():
    rows = [{"prompt": "Say yes. [[reply: yes]]"}, {"prompt": "x", "rubric": verdict(2)}]
    report = await evaluated(rows, rubric=verdict(3), pass_mark=3, **BY_JUDGE)
    assert [each.passed for each in report.grades] == [True, False]


async def test_a_judge_that_answers_nonsense_is_asked_again(emulator):
    # Planned for the first two batches that have the row: the reply, and the first verdict.
    nonsense = {"on": "rows", "custom_id": "case-1-*", "outcome": "succeeded", "text": "Hm."}
    emulator.plan({**nonsense, "batches": 2})

    report = await evaluated(cases(good=3), rubric=verdict(5), **BY_JUDGE)

    assert sizes(emulator) == [3, 3, 1]
    assert (report.score, report.ungraded) == (1.0, 0)
    assert report.judged.cost_usd == pytest.approx(billed(emulator, JUDGE))


async def test_a_judge_that_answers_nothing_but_nonsense_leaves_an_ungraded_case(emulator):
    rows = [*cases(good=3), case(3, "yes", rubric="[[reply: Lovely!]]")]

    report = await evaluated(rows, rubric=verdict(5), threshold=0.9, **BY_JUDGE)

    assert sizes(emulator) == [4, 4, 1]
    assert (report.score, report.ungraded, report.passed) == (0.75, 1, False)
    (failure,) = report.failures
    assert (failure.id, failure.is_graded) == ("case-3", False)
    assert "the judge gave no verdict: invalid_output" in failure.reason


async def test_a_case_without_a_reply_is_not_graded_and_no_judge_is_asked_about_it(emulator):
    emulator.plan(
        {"on": "rows", "custom_id": "case-0-*", "outcome": "errored", "error": "not_found_error"},
        {"on": "rows", "custom_id": "case-1-*", "outcome": "canceled"},
    )

    report = await evaluated(cases(good=3), rubric=verdict(5), **BY_JUDGE)

    assert sizes(emulator) == [3, 1]
    assert dict(report.statuses) == {"errored": 1, "canceled": 1, "succeeded": 1}
    assert (report.ungraded, report.score) == (2, pytest.approx(1 / 3))
    assert report.failures[0].reason.startswith("no reply: not_found_error")


async def test_where_no_case_has_a_reply_there_is_no_judge_and_still_a_report(emulator):
    emulator.plan({"on": "rows", "outcome": "errored", "error": "invalid_request_error"})
    report = await evaluated(cases(good=2), rubric=verdict(5), **BY_JUDGE)
    assert sizes(emulator) == [2]
    assert (report.score, report.ungraded) == (0.0, 2)


async def test_a_refusal_has_failed_and_is_counted():
    report = await evaluated([*cases(good=1), {"prompt": "Harm! [[refuse]]", "expected": "yes"}])

    assert (report.score, report.refused, report.ungraded) == (0.5, 1, 0)
    assert report.failures[0].reason == "the model refused to answer"


@pytest.mark.parametrize("name", ["cases.jsonl", "cases.csv", "cases.parquet"])
async def test_datasets_of_every_kind(tmp_path, name):
    path = tmp_path / name
    rows = cases(good=2, bad=1)
    if name.endswith("jsonl"):
        write_rows(path, rows)
    elif name.endswith("csv"):
        lines = [f"{row['id']},{row['prompt']},{row['expected']}" for row in rows]
        path.write_text("\n".join(["id,prompt,expected", *lines]) + "\n")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)

    report = await evaluated(path)

    assert (report.passed_cases, report.cases) == (2, 3)
    assert report.dataset == str(path)


async def test_below_the_threshold_the_error_holds_the_figures_and_crosses_processes():
    report = await evaluated(cases(good=7, bad=3), threshold=0.8)
    assert not report.passed

    with pytest.raises(BelowThresholdError) as caught:
        report.raise_below_threshold()

    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.score, error.threshold) == (0.7, 0.8)
    assert error.report == report.figures()
    assert "eval: score 0.700 (0." in error.message
    assert "7 of 10 cases passed" in error.message
    assert "below the threshold of 0.8. First failures: case-7: expected 'yes'" in error.message


async def test_without_a_threshold_a_report_neither_passes_nor_fails(stack):
    state = await evaluated(cases(good=1, bad=1), return_state=True)
    report = await state.result()
    report.raise_below_threshold()
    (page,) = pages_of(stack, run_of(stack, state).id)
    assert page.data.startswith("# eval: 0.500\n")


async def test_a_score_that_is_the_threshold_passes():
    report = await evaluated(cases(good=4, bad=1), threshold=0.8)
    assert report.passed
    report.raise_below_threshold()


@pytest.mark.parametrize("serializer", [PickleSerializer(), JSONSerializer()])
async def test_a_report_survives_a_result_storage(tmp_path, serializer):
    for _ in range(2):
        report = await evaluated(cases(good=2, bad=1), history=str(tmp_path / "h.json"))
    assert report.comparison is not None

    back = serializer.loads(serializer.dumps(report))

    assert back == report
    assert back.failures == report.failures
    assert json.loads(json.dumps(report.to_dict()))["grades"][2]["passed"] is False


async def test_the_page_of_the_run_shows_the_figures_and_escapes_what_models_say(stack):
    rows = [case(n, "<b>no</b> | `x`") for n in range(30)]
    state = await evaluated(rows, name="nightly-2", threshold=0.5, return_state=True)

    (page,) = pages_of(stack, run_of(stack, state).id)
    assert page.key == "eval-nightly-2"
    assert "# nightly-2: 0.000, **below the threshold**" in page.data
    assert (
        "| case-0 | expected 'yes', got '&lt;b&gt;no&lt;/b&gt; \\| \\`x\\`' | 0.00 |" in page.data
    )
    assert "## Cases that did not pass, 20 of 30" in page.data
    assert "<b>" not in page.data


ROWS = cases(good=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": []}, "has no rows; there is nothing to submit"),
        ({"dataset": [{"prompt": "x"}]}, "row 0: column 'expected' is missing"),
        ({"dataset": [{"expected": "x"}]}, "row 0: column 'prompt' is missing"),
        ({"prompt": "Say {word}."}, "row 0: column 'word' is missing"),
        ({"prompt": "Say {word"}, "a single '{'"),
        (
            {"grader": "regex", "dataset": [case(0, "x", "(")]},
            "row 0: expected: '(' is not a regular",
        ),
        ({"grader": "json", "dataset": [case(0, "x", "{")]}, "row 0: expected: '{' is not JSON"),
        ({"grader": "fuzzy"}, "grader: expected one of exact, regex, json, judge, got"),
        ({"grader": 42}, "grader: expected a name, or an object with check"),
        ({"threshold": "0.5"}, "threshold: expected 0.0 to 1.0, got '0.5'"),
        ({"grader": "judge"}, "judge_model: name the model that judges"),
        (BY_JUDGE, "row 0: column 'rubric' is missing or empty, and no rubric is given"),
        ({"rubric": "Be kind."}, "rubric: only grader='judge' reads it, got 'exact'"),
        ({"judge_model": JUDGE}, "judge_model: only grader='judge' reads it"),
        ({"threshold": 1.5}, "threshold: expected 0.0 to 1.0, got 1.5"),
        ({"threshold": float("nan")}, "threshold: expected 0.0 to 1.0, got nan"),
        ({"pass_mark": 6}, "pass_mark: expected 1 to 5, got 6"),
        ({"keep": 0}, "keep: expected at least 1, got 0"),
        (
            {"name": "Nightly eval"},
            "name: expected 1 to 60 of a-z, 0-9 and '-', got 'Nightly eval'",
        ),
        ({"max_tokens": 0}, "max_tokens: must be at least 1"),
        ({"history": "last.txt"}, "'last.txt': expected the path or URL of a .json file"),
        ({"history": "variable:A B"}, "the name of a Prefect variable has"),
    ],
)
async def test_what_makes_no_eval_is_an_error_before_anything_is_submitted(emulator, options, said):
    with pytest.raises(MeshflowError) as error:
        await evaluated(**{"dataset": ROWS} | options)
    assert said in error.value.message
    assert emulator.batches() == []


async def test_a_history_of_something_else_is_an_error_before_anything_is_submitted(
    emulator, tmp_path
):
    place = tmp_path / "h.json"
    place.write_text('{"baseline": 3}')
    with pytest.raises(MeshflowError, match="holds something else than the history of an eval"):
        await evaluated(ROWS, history=str(place))
    assert emulator.batches() == []
    assert place.read_text() == '{"baseline": 3}'


async def test_outside_of_a_flow_an_eval_runs_as_well(emulator, tmp_path):
    place = str(tmp_path / "h.json")
    for _ in range(2):
        report = await evaluate(ROWS, history=place, poll_interval=SOON)
    assert report.score == 1.0
    assert len(report.trend) == 2


async def test_an_unknown_keyword_is_refused_before_anything_is_submitted(emulator):
    with pytest.raises(Exception, match="poll_intervall"):
        await evaluated(ROWS, poll_intervall=3)
    assert emulator.batches() == []


async def test_a_job_key_brings_replies_and_verdicts_of_an_earlier_run(emulator):
    options = {"rubric": verdict(4), "job_key": f"eval-{emulator.base_url}", **BY_JUDGE}
    first, second = await evaluated(ROWS, **options), await evaluated(ROWS, **options)

    assert sizes(emulator) == [2, 2]
    assert first.grades == second.grades


async def test_a_name_that_is_no_text_of_a_grader_is_what_its_class_is_called():
    class Longer:
        def check(self, expected):
            if not isinstance(expected, int):
                raise InvalidRequestError("expected: expected a length.")

        def grade(self, output, expected):
            from meshflow_prefect.grading import PASSED, failed

            return PASSED if len(output) > expected else failed("too short")

    report = await evaluated([case(0, "short", 9), case(1, "long enough", 9)], grader=Longer())
    assert (report.grader, report.score) == ("Longer", 0.5)
