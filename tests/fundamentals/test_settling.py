"""For how long a lost batch is looked for before a create call is sent again."""

from __future__ import annotations

import pytest

from meshflow_prefect.recovery import settling


@pytest.mark.parametrize(
    ("took", "seconds"), [(0.1, 20.0), (20.0, 20.0), (60.0, 60.0), (600.0, 300.0)]
)
def test_the_list_is_watched_as_long_again_as_the_call_took(took, seconds):
    assert settling(took) == seconds


def test_what_was_given_up_here_is_watched_for_a_minute_at_least():
    assert [settling(took, given_up=True) for took in (5.0, 90.0, 600.0)] == [60.0, 90.0, 300.0]
