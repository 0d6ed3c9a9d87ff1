"""Who grades, and what a judge is told of a case and its reply."""

from __future__ import annotations

import pytest

from meshflow_prefect import BatchResult, InvalidRequestError
from meshflow_prefect.grading import PASSED, ExactMatch
from meshflow_prefect.uses.cases import Case
from meshflow_prefect.uses.judges import (
    Judge,
    check_gradable,
    graded_reply,
    judge_or_grader,
    name_of,
)

JUDGE = Judge(model="claude-opus-5", rubric="Be kind.")
REPLY = BatchResult("a", "succeeded", "Hello.")
REFUSAL = BatchResult("a", "succeeded", "", stop_reason="refusal")


def test_a_judge_is_told_the_rubric_of_the_row_before_that_of_all():
    own = JUDGE.request("a", Case("1", {"rubric": " Be brief. "}), "Who?", REPLY)
    other = JUDGE.request("a", Case("1", {"rubric": ""}), "Who?", REPLY)

    assert own.prompt.startswith("Rubric: Be brief.\n\n<question>\nWho?")
    assert other.prompt.startswith("Rubric: Be kind.\n\n")


def test_a_judge_is_told_what_was_expected_also_when_it_is_no_text():
    request = JUDGE.request("a", Case("1", {"expected": {"n": 1}}), "Who?", REPLY)
    assert '<expected>\n{"n":1}\n</expected>' in request.prompt


def test_a_refusal_is_an_answer_that_a_judge_is_told_of():
    request = JUDGE.request("a", Case("1", {}), "Who?", REFUSAL)
    pair = JUDGE.pair("a", Case("1", {}), "Who?", REPLY, REFUSAL)

    assert "<answer>\n(The model refused to answer.)\n</answer>" in request.prompt
    assert "<second>\n(The model refused to answer.)\n</second>" in pair[0].prompt
    assert "<first>\n(The model refused to answer.)\n</first>" in pair[1].prompt


def test_a_reply_is_graded_and_without_one_there_is_a_problem():
    case = Case("1", {"expected": "Hello."})
    assert graded_reply(REPLY, ExactMatch(), case) == PASSED
    assert graded_reply(REFUSAL, ExactMatch(), case).problem == ""
    expired = graded_reply(BatchResult("a", "expired", error="Too late."), ExactMatch(), case)
    assert expired.problem == "no reply: Too late."


def test_a_judge_needs_a_rubric_and_a_grader_what_it_expects():
    check_gradable(Case("1", {}), JUDGE)
    for by, said in (
        (Judge(model="m"), "'rubric' is missing or empty"),
        (ExactMatch(), "'expected'"),
    ):
        with pytest.raises(InvalidRequestError, match=said):
            check_gradable(Case("1", {}), by)


def test_what_nobody_would_read_is_refused():
    for given in ({"rubric": "x", "judge_model": ""}, {"rubric": "", "judge_model": "m"}):
        with pytest.raises(InvalidRequestError, match="only grader='judge' reads it, got 'exact'"):
            judge_or_grader("exact", **given)
    judge = judge_or_grader("judge", rubric=" Be kind. ", judge_model="claude-opus-5")
    assert judge == JUDGE
    assert name_of(judge, "judge") == "judge claude-opus-5"
    assert name_of(ExactMatch(), ExactMatch()) == "ExactMatch"
