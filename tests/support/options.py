"""How `pytest` runs here: the options of the fault tests, and Ctrl-C."""

from __future__ import annotations

import signal

import pytest

KILLS, SEED, JOBS = 20, 20260, 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add them."""
    group = parser.getgroup("faults", "fault tests")
    group.addoption("--kills", type=int, default=KILLS, help="random kills, all runs together")
    group.addoption("--seed", type=int, default=SEED, help="of the random kills")
    group.addoption("--jobs", type=int, default=JOBS, help="runs that are killed at once")
    group.addoption("--write-matrix", action="store_true", help="write docs/faults.md at the end")


def pytest_configure() -> None:
    """Let what tests start be interrupted: the jobs that a shell runs in the background are not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
