"""Runs that are killed at random moments: `pytest tests/faults --kills 20 --seed 1 --jobs 2`."""

from __future__ import annotations

import pytest

from tests.faults.matrix import Row
from tests.faults.random_kills import kill_at_random


@pytest.mark.long
def test_runs_that_are_killed_at_random_pay_once_and_lose_no_row(
    pytestconfig, tmp_path, capsys, matrix
):
    kills, seed, jobs = (pytestconfig.getoption(name) for name in ("kills", "seed", "jobs"))

    with capsys.disabled():
        print()
        tally = kill_at_random(kills, seed, jobs, tmp_path, lambda line: print(line, flush=True))

    assert not tally.problems
    assert tally.kills == kills
    assert tally.created == tally.paid == len(tally.reports)
    matrix(
        Row(
            group="kills",
            fault=f"{kills} kills of run, worker or server at random, seed {seed}",
            seen="Completed, every run; Retry where one was Crashed",
            created="1 a run",
            paid="1 a run",
            lost=tally.lost,
        )
    )
