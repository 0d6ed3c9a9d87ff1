"""Flows that are called directly, on a real Prefect server: they wait in their own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshflow_prefect.emulator import Emulator
from tests.support.scripted import ScriptedApi, scripted_api
from tests.support.stack import Stack


@pytest.fixture(autouse=True)
def emulator(stack: Stack, own_storage: Path, anthropic_emulator: Emulator) -> Emulator:
    """An emulator of the test's own beside the shared server."""
    return anthropic_emulator


@pytest.fixture
def scripted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    """A server in front of the emulator, that can fail."""
    with scripted_api(emulator.base_url) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.base_url)
        yield api
