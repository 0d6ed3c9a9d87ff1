"""Flows that are called directly, on a real Prefect server: they wait in their own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from meshflow_prefect.emulator import Emulator
from tests.support.scripted import ScriptedApi, scripted_api
from tests.support.stack import Stack


@pytest.fixture(autouse=True)
def emulator(
    stack: Stack, anthropic_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    """An emulator of the test's own beside the shared server, and a place for results."""
    storage = tmp_path_factory.mktemp("storage")
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}):
        yield anthropic_emulator


@pytest.fixture
def scripted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    """A server in front of the emulator, that can fail."""
    with scripted_api(emulator.base_url) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.base_url)
        yield api
