"""The real parts that tests run on: a Prefect server, a worker, and the emulator over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from meshflow_prefect.emulator import Emulator
from tests.support.stack import Stack, prefect_stack

pytest_plugins = ["meshflow_prefect.emulator.pytest_plugin", "tests.support.options"]

# A machine that is busy with other things is not a slow property.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

WORKER_KEY = "sk-ant-key-of-the-worker-0123456789"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin what takes minutes first: else all have ended, and one process waits for it alone."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    """The API that the workers talk to. A batch takes eight seconds."""
    with Emulator(batch_seconds=8) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, shared_emulator: Emulator) -> Iterator[Stack]:
    """A Prefect server, without a worker."""
    home = tmp_path_factory.mktemp("prefect")
    env = {
        **shared_emulator.environment(),
        "ANTHROPIC_API_KEY": WORKER_KEY,
        "MESHFLOW_TEST_NOTES": str(home / "notes.jsonl"),
        "MESHFLOW_TEST_KEY": "sk-ant-key-in-the-code-0123456789",
    }
    with prefect_stack(home, env) as running:
        yield running


@pytest.fixture(scope="session")
def worker(stack: Stack) -> Iterator[Stack]:
    """The same server, with a process worker."""
    with stack.worker("first"):
        yield stack


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Emulator:
    """The workers' API, without batches of earlier tests."""
    shared_emulator.reset()
    return shared_emulator


@pytest.fixture
def notes(stack: Stack) -> Callable[..., list[dict[str, Any]]]:
    """What the deployed flows of one run noted, by step."""

    def read(run_id: str, step: str | None = None) -> list[dict[str, Any]]:
        path = Path(stack.env["MESHFLOW_TEST_NOTES"])
        lines = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )
        return [n for n in lines if n["run"] == run_id and step in (None, n["step"])]

    return read


@pytest.fixture
def in_process(stack: Stack, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> Emulator:
    """Flows that this test calls itself: they use the same server and API."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    return emulator


@pytest.fixture
def own_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for the results of the flows that this test calls itself."""
    storage = tmp_path_factory.mktemp("storage")
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}):
        yield storage
