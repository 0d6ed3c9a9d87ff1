"""A suspended run wakes after a fraction of the time it has waited: often at first, then rarely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import ApiUnavailableError, BatchJob
from meshflow_prefect.polling import BLIND_SECONDS, Found, next_check

CREATED = datetime(2026, 11, 22, tzinfo=UTC)
EXPIRES = CREATED + timedelta(days=1)
JOB = BatchJob("b", "in_progress", {}, created_at=CREATED, expires_at=EXPIRES)


def pause(waited: float, *, poll_interval: float = 30, wait_fraction: float = 0.25) -> float:
    """The seconds until the next check of a batch that was created `waited` seconds ago."""
    now = CREATED + timedelta(seconds=waited)
    return _pause(JOB, now, poll_interval, wait_fraction)


def pause_when_blind(waited: float, *, poll_interval: float = 30) -> float:
    """The same, where Anthropic could not be asked."""
    now = CREATED + timedelta(seconds=waited)
    return _pause(ApiUnavailableError("Away."), now, poll_interval, 0.25)


def _pause(found: Found, now: datetime, poll_interval: float, wait_fraction: float) -> float:
    wake = next_check(
        found, since=CREATED, poll_interval=poll_interval, wait_fraction=wait_fraction, now=now
    )
    return (wake - now).total_seconds()


def test_a_quarter_of_the_time_already_waited():
    assert pause(3600) == 900
    assert pause(3600, wait_fraction=0.5) == 1800


def test_never_sooner_than_the_interval():
    assert pause(0) == 30
    assert pause(60) == 30
    assert pause(-5) == 30, "the clock of this machine is behind"


def test_never_later_than_the_expiry_and_then_by_the_interval():
    assert pause(23 * 3600) == 3600
    assert pause(24 * 3600) == 30
    assert pause(30 * 3600) == 30


@given(st.floats(0, 2e5), st.floats(1, 3600), st.floats(0.01, 1))
def test_the_pause_is_between_its_bounds(waited, interval, fraction):
    found = pause(waited, poll_interval=interval, wait_fraction=fraction)

    assert found >= round(interval, 5) - 1e-5
    assert found <= max(interval, waited * fraction, 0) + 1e-5
    assert found <= max(interval, 86_400 - waited) + 1e-5


def test_a_day_takes_few_checks():
    waited, checks = 0.0, 0
    while waited < 86_400:
        waited += pause(waited)
        checks += 1
    assert checks <= 40


def test_a_lost_answer_late_in_a_wait_costs_minutes_not_hours():
    assert pause_when_blind(0) == 30
    assert pause_when_blind(1200) == 300
    assert pause_when_blind(20 * 3600) == BLIND_SECONDS
    assert pause_when_blind(20 * 3600, poll_interval=3600) == 3600
