"""The options of `pytest` for the fault tests."""

from __future__ import annotations

import pytest

KILLS, SEED, JOBS = 20, 20260, 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add them."""
    group = parser.getgroup("faults", "fault tests")
    group.addoption("--kills", type=int, default=KILLS, help="random kills, all runs together")
    group.addoption("--seed", type=int, default=SEED, help="of the random kills")
    group.addoption("--jobs", type=int, default=JOBS, help="runs that are killed at once")
    group.addoption("--write-matrix", action="store_true", help="write docs/faults.md at the end")
