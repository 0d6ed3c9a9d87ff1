"""Fixtures for flows that are called directly, on a real Prefect server: they wait in-process."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshflow_prefect.emulator import Emulator
from tests.support.stack import Stack


@pytest.fixture(autouse=True)
def emulator(
    stack: Stack, own_storage: Path, spools: Path, anthropic_emulator: Emulator
) -> Emulator:
    """An emulator of the test's own beside the shared server."""
    return anthropic_emulator


@pytest.fixture
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the jobs of this test keep what they are at."""
    folder = tmp_path / "spools"
    monkeypatch.setenv("MESHFLOW_SPOOL", str(folder))
    return folder
