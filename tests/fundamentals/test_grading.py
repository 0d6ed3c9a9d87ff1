"""Replies are graded by what was expected, and a row without a reply has failed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchResult, InvalidRequestError
from meshflow_prefect.grading import (
    PASSED,
    ExactMatch,
    JsonEquality,
    RegularExpression,
    grade,
    grader_of,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


def reply(output: str, **fields) -> BatchResult:
    return BatchResult("a", "succeeded", output, **fields)


@pytest.mark.parametrize(
    ("output", "expected", "passed"),
    [
        ("Paris", "Paris", True),
        (" Paris\n", "Paris", True),
        ("paris", "Paris", False),
        ("Paris.", "Paris", False),
        ("7", 7, True),
        ("", "", True),
    ],
)
def test_an_exact_match_is_the_same_text_apart_from_blanks_around_it(output, expected, passed):
    assert ExactMatch().grade(output, expected).passed is passed


def test_an_exact_match_can_ignore_the_case():
    assert ExactMatch(ignore_case=True).grade("PARIS", "Paris") == PASSED


def test_a_failed_match_says_what_was_expected_and_what_came_and_is_short():
    found = ExactMatch().grade("x" * 1_000, "Paris")
    assert found.reason.startswith("expected 'Paris', got 'xxx")
    assert len(found.reason) < 120
    assert (found.score, found.problem) == (0.0, "")


def test_a_regular_expression_matches_anywhere():
    assert RegularExpression().grade("It is Paris.", r"\bParis\b").passed
    assert RegularExpression().grade("It is Pariser.", r"\bParis\b").reason == (
        r"no match of '\\bParis\\b' in 'It is Pariser.'"
    )
    assert not RegularExpression().grade("It is Paris.", r"^Paris$").passed


@pytest.mark.parametrize(
    ("output", "expected", "difference"),
    [
        ('{"b": 2, "a": [1, "x"]}', {"a": [1, "x"], "b": 2}, None),
        ('{"a": 1.0}', '{"a": 1}', None),
        ("0.30000000000000004", 0.3, None),
        ("true", 1, "the reply: expected 1, got true"),
        ("[1, 2]", [2, 1], "0: expected 2, got 1"),
        ("[1]", [1, 1], "the reply: expected 2 items, got 1"),
        ('{"a": {"b": "x"}}', {"a": {"b": "y"}}, 'a.b: expected "y", got "x"'),
        ("{}", {"a": 1}, "a: is missing"),
        ('{"a": 1, "b": 2}', {"a": 1}, "b: was not expected"),
        ("null", {"a": 1}, 'the reply: expected {"a":1}, got null'),
    ],
)
def test_json_is_equal_or_the_first_difference_is_named(output, expected, difference):
    found = JsonEquality().grade(output, expected)
    assert (found.passed, found.reason) == (difference is None, difference or "")


def test_a_reply_that_is_no_json_says_so():
    found = JsonEquality().grade("Paris", "null")
    assert found.reason.startswith("the reply is not JSON: unexpected character")


def test_the_tolerance_of_numbers_can_be_chosen():
    assert not JsonEquality().grade("100.5", 100).passed
    assert JsonEquality(tolerance=0.01).grade("100.5", 100).passed


@given(JSON)
def test_any_value_is_equal_to_itself(value):
    if not isinstance(value, str):  # a text is the JSON of what is expected
        assert JsonEquality().grade(json.dumps(value), value) == PASSED
    assert JsonEquality().grade(json.dumps(value), json.dumps(value)) == PASSED


@given(st.text(), st.sampled_from(["exact", "regex", "json"]))
def test_whatever_the_reply_there_is_a_grade(output, name):
    found = grade(reply(output), grader_of(name), "[1]")
    assert found.score == (1.0 if found.passed else 0.0)
    assert found.passed or found.reason


@pytest.mark.parametrize(
    ("name", "expected", "said"),
    [
        ("exact", None, "expected a text, got NoneType"),
        ("exact", True, "expected a text, got bool"),
        ("regex", "(", "'(' is not a regular expression: missing ), unterminated subpattern"),
        ("regex", 7, "expected a regular expression, got int"),
        ("json", "{", "'{' is not JSON"),
    ],
)
def test_what_cannot_be_expected_is_refused_before_anything_is_sent(name, expected, said):
    with pytest.raises(InvalidRequestError) as caught:
        grader_of(name).check(expected)
    assert said in str(caught.value)


def test_an_unknown_grader_is_refused_and_one_of_ones_own_is_taken():
    with pytest.raises(InvalidRequestError, match="expected one of exact, regex, json, got 'fuzzy"):
        grader_of("fuzzy")
    own = ExactMatch(ignore_case=True)
    assert grader_of(own) is own


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (BatchResult("a", "errored", error="api_error: No."), "api_error: No."),
        (BatchResult("a", "missing"), "missing"),
        (reply("Paris", stop_reason="refusal"), "the model refused to answer"),
    ],
)
def test_a_row_without_an_answer_has_failed_and_says_why(result, reason):
    found = grade(result, ExactMatch(), "Paris")
    assert (found.passed, found.reason, found.problem) == (False, reason, "")


def test_a_grade_is_written_as_json():
    assert json.loads(json.dumps(PASSED.to_dict())) == {
        "score": 1.0,
        "passed": True,
        "reason": "",
        "problem": "",
    }


class Length:
    """A grader of one's own."""

    def __init__(self, found):
        self.found = found

    def check(self, expected):
        pass

    def grade(self, output, expected):
        return self.found


@pytest.mark.parametrize(
    ("found", "score", "passed"), [(1, 1.0, True), (0.5, 0.5, False), (True, 1.0, True)]
)
def test_a_number_is_a_grade(found, score, passed):
    given = grade(reply("x"), Length(found), None)

    assert (given.score, given.passed) == (score, passed)


@pytest.mark.parametrize("found", [None, "good", 1.5, float("nan"), -1])
def test_what_is_no_grade_is_an_error_that_says_what_to_do(found):
    with pytest.raises(InvalidRequestError, match=r"Length.grade returned .* retry the run"):
        grade(reply("x"), Length(found), None)
