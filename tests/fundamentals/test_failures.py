"""How a run ends where requests have failed: one policy, with its boundaries."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchFailedError, BatchResult, InvalidRequestError
from meshflow_prefect.failures import check_failures, check_policy

BATCHES = ["msgbatch_first", "msgbatch_second"]


def results(failed: int, total: int) -> list[BatchResult]:
    bad = [
        BatchResult(f"task-{n}", "errored", error="No.", error_type="api_error")
        for n in range(failed)
    ]
    return [*bad, *(BatchResult(f"task-{n}", "succeeded") for n in range(failed, total))]


def check(found: list[BatchResult], threshold: float = 0.0) -> None:
    check_failures(found, batch_ids=BATCHES, on_failure="raise", threshold=threshold)


def raised(failed: int, total: int) -> BatchFailedError:
    with pytest.raises(BatchFailedError) as error:
        check(results(failed, total))
    return error.value


def test_where_failures_are_returned_nothing_is_raised():
    everything = results(3, 3)
    check_failures(everything, batch_ids=BATCHES, on_failure="return", threshold=0.0)


def test_without_failures_nothing_is_raised():
    check(results(0, 3))


def test_no_results_at_all_are_no_failure():
    check([])


def test_a_single_failure_is_too_many_for_a_threshold_of_nothing():
    assert raised(1, 1000).failed == 1


@pytest.mark.parametrize("status", ["errored", "expired", "canceled", "missing"])
def test_every_status_but_success_is_a_failure(status):
    with pytest.raises(BatchFailedError):
        check([BatchResult("a", status), BatchResult("b", "succeeded")])


def test_a_refusal_by_the_model_is_a_reply():
    check([BatchResult("a", "succeeded", stop_reason="refusal")])


@pytest.mark.parametrize(("share", "allowed", "total"), [(0.05, 5, 100), (0.5, 1, 2), (0.1, 0, 9)])
def test_as_many_as_the_threshold_may_fail_and_not_one_more(share, allowed, total):
    check(results(allowed, total), threshold=share)
    with pytest.raises(BatchFailedError):
        check(results(allowed + 1, total), threshold=share)


@given(st.integers(1, 3000), st.data())
def test_exactly_the_share_that_is_allowed_does_not_raise(total, data):
    failed = data.draw(st.integers(0, total - 1))

    check(results(failed, total), threshold=failed / total)


@given(st.integers(1, 3000), st.data())
def test_one_more_than_the_share_that_is_allowed_raises(total, data):
    allowed = data.draw(st.integers(0, total - 1))

    with pytest.raises(BatchFailedError):
        check(results(allowed + 1, total), threshold=allowed / total)


def test_29_of_100_are_not_more_than_29_percent():
    check(results(29, 100), threshold=0.29)


def test_the_error_holds_every_result_also_those_that_succeeded():
    error = raised(2, 5)

    assert error.results == results(2, 5)
    assert (error.failed, error.total) == (2, 5)


def test_the_error_names_the_batches_that_can_be_read_again():
    error = raised(2, 5)

    assert error.batch_ids == BATCHES
    assert f"batch_ids={BATCHES!r}" in str(error)


def test_the_error_names_the_first_requests_that_failed_and_says_that_there_are_more():
    text = str(raised(6, 9))

    assert "6 of 9 requests failed" in text
    assert "task-0, task-1, task-2, task-3, task-4, …" in text
    assert "task-5" not in text


def test_the_error_says_how_many_failed_of_each_kind():
    rows = [*results(2, 2), BatchResult("late", "expired", error_type="expired")]

    with pytest.raises(BatchFailedError, match="2 api_error, 1 expired"):
        check(rows)


def test_the_error_survives_pickling():
    error = raised(2, 5)

    again = pickle.loads(pickle.dumps(error))

    assert type(again) is BatchFailedError
    assert str(again) == str(error)
    assert (again.results, again.batch_ids) == (error.results, error.batch_ids)


@pytest.mark.parametrize("policy", ["ignore", "", "RAISE", None])
def test_an_unknown_policy_is_refused(policy):
    with pytest.raises(InvalidRequestError, match="on_failure: expected 'return' or 'raise'"):
        check_policy(policy, 0.0, 1)


@pytest.mark.parametrize("share", [-0.1, 1.0, 5, float("nan"), float("inf"), -float("inf")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(InvalidRequestError, match="failure_threshold: expected a share"):
        check_policy("raise", share, 1)


@pytest.mark.parametrize("most", [0, -1, True, False])
def test_a_number_of_attempts_that_is_none_is_refused(most):
    with pytest.raises(InvalidRequestError, match="max_attempts: must be at least 1"):
        check_policy("return", 0.0, most)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.999, 0])
def test_a_policy_that_means_something_is_accepted(share):
    check_policy("return", share, 1)
    check_policy("raise", share, 100)
