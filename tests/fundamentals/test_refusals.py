"""When a create call that was refused for now is sent again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import RateLimitedError, SubmissionRefusedError
from meshflow_prefect.refusals import LONGEST_SECONDS, time_to_try_again

SINCE = datetime(2026, 11, 22, tzinfo=UTC)
HOURS = 3600.0
SPENT = st.floats(0, 10 * 24 * HOURS)


def limited(retry_after: float | None = None, status: int = 429) -> RateLimitedError:
    return RateLimitedError("Slow down.", status_code=status, retry_after=retry_after)


def unreached() -> SubmissionRefusedError:
    return SubmissionRefusedError("Nobody there.", status_code=None)


def pause(refusal: SubmissionRefusedError, spent: float, *, suspends: bool = True) -> float:
    """The seconds until the next try, `spent` seconds after the first."""
    now = SINCE + timedelta(seconds=spent)
    wake = time_to_try_again(refusal, since=SINCE, suspends=suspends, now=now)
    return (wake - now).total_seconds()


@pytest.mark.parametrize("seconds", [1, 30, 600, 3600])
def test_what_anthropic_says_is_obeyed(seconds):
    assert pause(limited(seconds), spent=10) == seconds


def test_what_anthropic_says_is_believed_up_to_an_hour():
    assert pause(limited(86_400), spent=10) == LONGEST_SECONDS == 3600


@given(st.floats(0, 1e300), SPENT, st.booleans())
def test_however_long_anthropic_says_it_is_at_most_an_hour(told, spent, suspends):
    assert 0 <= pause(limited(told), spent, suspends=suspends) <= 3600


def test_no_seconds_at_all_are_not_a_create_call_without_pause():
    """The SDK does not believe a 0 either: it would ask again and again, as fast as it can."""
    assert pause(limited(0.0), spent=3600) >= 1


@pytest.mark.parametrize("suspends", [True, False])
def test_told_to_come_back_at_once_for_long_it_is_not_sent_every_second(suspends):
    assert pause(limited(0.0), spent=0, suspends=suspends) == 1
    assert pause(limited(0.0), spent=400, suspends=suspends) == 100


def test_the_first_pause_is_short():
    assert pause(limited(), spent=0) == 2


def test_the_pauses_grow_with_the_time_spent_up_to_a_quarter_of_an_hour():
    assert [pause(limited(), spent) for spent in (40, 400, 3600, 36_000)] == [10, 100, 900, 900]


@given(SPENT, SPENT)
def test_a_later_pause_is_never_shorter(one, other):
    earlier, later = sorted((one, other))
    assert pause(limited(), earlier) <= pause(limited(), later)


@given(SPENT, st.booleans())
def test_every_pause_is_between_its_bounds(spent, suspends):
    assert 2 <= pause(limited(), spent, suspends=suspends) <= 900


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.parametrize("suspends", [True, False])
def test_a_limit_is_waited_out_without_end(status, suspends):
    assert pause(limited(status=status), spent=90 * 24 * HOURS, suspends=suspends) == 900


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
@pytest.mark.parametrize("suspends", [True, False])
def test_every_other_answer_is_for_good(status, suspends):
    refusal = SubmissionRefusedError("Bad.", status_code=status, retry_after=1.0)

    with pytest.raises(SubmissionRefusedError) as raised:
        pause(refusal, spent=0, suspends=suspends)

    assert raised.value is refusal


def test_a_refusal_that_says_nothing_of_a_status_is_for_good():
    with pytest.raises(SubmissionRefusedError):
        pause(SubmissionRefusedError("Bad."), spent=0)


@pytest.mark.parametrize(
    ("suspends", "patience"), [(False, timedelta(minutes=2)), (True, timedelta(hours=24))]
)
def test_where_nobody_is_reached_it_is_given_up_after_a_time(suspends, patience):
    longest = patience.total_seconds()
    assert pause(unreached(), longest, suspends=suspends) >= 2

    with pytest.raises(SubmissionRefusedError, match="Nobody there"):
        pause(unreached(), longest + 1, suspends=suspends)


@pytest.mark.parametrize(
    ("suspends", "patience"), [(False, timedelta(minutes=2)), (True, timedelta(minutes=15))]
)
def test_where_the_call_is_cut_off_amid_its_body_it_is_given_up_sooner(suspends, patience):
    """It may be too large for something on the way, and goes out whole each time."""
    longest = patience.total_seconds()
    cut_off = SubmissionRefusedError("Cut off.", status_code=None, sent_bytes=9)
    assert pause(cut_off, longest, suspends=suspends) >= 2

    with pytest.raises(SubmissionRefusedError, match="Cut off"):
        pause(cut_off, longest + 1, suspends=suspends)


@given(SPENT.filter(lambda spent: spent < 24 * HOURS))
def test_where_nobody_is_reached_the_pauses_are_those_of_a_limit(spent):
    assert pause(unreached(), spent) == pause(limited(), spent)


def test_a_clock_that_was_set_back_gives_the_first_pause():
    assert pause(limited(), spent=-3600) == 2


def test_told_to_come_back_soon_for_hours_a_run_that_can_be_suspended_comes_back_later():
    assert [pause(limited(30), spent) for spent in (10, 400, 36_000)] == [30, 100, 900]
    assert pause(limited(30), 36_000, suspends=False) == 30
