"""Which requests go into a further batch, and how the attempts become one result for each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchResult, total_cost
from meshflow_prefect.attempts import merge, worth_another_try

PASSING = ["api_error", "overloaded_error", "timeout_error", "rate_limit_error"]
FINAL = [
    "invalid_request_error",
    "not_found_error",
    "permission_error",
    "authentication_error",
    "billing_error",
    "request_too_large",
    "unknown_error",
    "a_kind_from_the_future",
    None,
]
ABSENT = ["missing", "unreadable_row", "results_expired"]


def errored(kind: str | None) -> BatchResult:
    return BatchResult("a", "errored", error="It failed.", error_type=kind)


@pytest.mark.parametrize("kind", PASSING)
def test_a_request_that_met_a_passing_error_is_worth_another_try(kind):
    assert worth_another_try(errored(kind))


def test_a_request_that_expired_is_worth_another_try():
    assert worth_another_try(BatchResult("a", "expired", error_type="expired"))


@pytest.mark.parametrize("kind", FINAL)
def test_a_request_that_would_fail_again_is_not_sent_again(kind):
    assert not worth_another_try(errored(kind))


@pytest.mark.parametrize("kind", ABSENT)
def test_a_row_that_may_have_been_billed_is_not_sent_again(kind):
    assert not worth_another_try(BatchResult("a", "missing", cost_usd=None, error_type=kind))


def test_a_cancelled_request_is_not_sent_again():
    assert not worth_another_try(BatchResult("a", "canceled", error_type="canceled"))


def test_a_reply_that_is_not_of_the_output_type_is_worth_another_try_unless_it_is_a_refusal():
    invalid = BatchResult("a", "errored", error_type="invalid_output", stop_reason="end_turn")
    assert worth_another_try(invalid)
    assert worth_another_try(replace(invalid, stop_reason="max_tokens"))
    assert not worth_another_try(replace(invalid, stop_reason="refusal"))


@pytest.mark.parametrize("reason", ["end_turn", "refusal", "max_tokens", None])
def test_a_reply_is_not_asked_for_again_even_where_it_is_a_refusal(reason):
    assert not worth_another_try(BatchResult("a", "succeeded", stop_reason=reason))


COST = st.one_of(st.none(), st.integers(0, 10**6).map(lambda millionths: millionths / 10**6))
KINDS = st.sampled_from([*PASSING, *FINAL])


@st.composite
def rows(draw, ids):
    custom_id = draw(ids)
    if draw(st.booleans()):
        return BatchResult(custom_id, "succeeded", output=draw(st.text()), cost_usd=draw(COST))
    return BatchResult(custom_id, "errored", error="No.", error_type=draw(KINDS))


@st.composite
def attempts(draw):
    """The results of a batch, and the rows of the next one, whatever they are."""
    ids = draw(st.lists(st.sampled_from([f"task-{n}" for n in range(9)]), unique=True))
    first = [draw(rows(st.just(custom_id))) for custom_id in ids]
    any_ids = st.sampled_from([f"task-{n}" for n in range(12)])
    return first, draw(st.lists(rows(any_ids), max_size=12))


@given(attempts())
def test_whatever_the_rows_of_the_next_attempt_there_is_one_result_each_in_order(tried):
    first, again = tried

    merged = merge(first, again)

    assert [result.custom_id for result in merged] == [result.custom_id for result in first]


@given(attempts())
def test_only_requests_that_were_tried_again_change(tried):
    first, again = tried
    retried = {row.custom_id for row in again}

    for old, new in zip(first, merge(first, again), strict=True):
        assert (new is old) == (old.custom_id not in retried)


@given(attempts())
def test_each_request_counts_the_batches_that_it_was_in(tried):
    first, again = tried
    retried = {row.custom_id for row in again}

    twice = merge(merge(first, again), again)

    assert [result.attempts for result in twice] == [
        3 if result.custom_id in retried else 1 for result in first
    ]


@given(attempts())
def test_a_request_that_was_tried_again_has_what_its_last_batch_said(tried):
    first, again = tried
    said = [(row.custom_id, row.status, row.output, row.error_type) for row in again]

    for new in merge(first, again):
        if new.attempts == 2:
            assert (new.custom_id, new.status, new.output, new.error_type) in said


@given(attempts())
def test_the_total_cost_counts_every_attempt_once(tried):
    first, again = tried
    wanted = {row.custom_id for row in first}
    last = {row.custom_id: row for row in again if row.custom_id in wanted}
    costs = [row.cost_usd for row in (*first, *last.values())]

    total = total_cost(merge(first, again))

    if None in costs:
        assert total is None
    else:
        assert total * 10**6 == sum(round(cost * 10**6) for cost in costs)


def billed(output: int, **fields: object) -> BatchResult:
    usage = {"output_tokens": output}
    return BatchResult("a", "errored", "?", output, output / 1000, usage=usage, **fields)


def test_a_row_holds_what_all_of_its_attempts_were_billed_for():
    tries = [billed(3), BatchResult("a", "expired"), billed(5), billed(7)]

    merged = [tries[0]]
    for row in tries[1:]:
        merged = merge(merged, [row])

    (result,) = merged
    assert (result.attempts, result.tokens, result.cost_usd) == (4, 15, 0.015)
    assert result.usage == {"output_tokens": 7}
    assert [usage["output_tokens"] for usage in result.billed_usage] == [3, 5, 7]


@given(attempts(), st.data())
def test_the_order_of_the_rows_of_the_next_attempt_is_of_no_matter(tried, data):
    first, again = tried
    again = list({row.custom_id: row for row in again}.values())

    assert merge(first, data.draw(st.permutations(again))) == merge(first, again)
