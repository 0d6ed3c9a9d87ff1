"""One emulator with a stepped clock for all of these tests, as new for each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import client_of


@pytest.fixture(scope="session")
def _shared() -> Iterator[Emulator]:
    with Emulator(clock="stepped", batch_seconds=100, cancel_seconds=10) as emulator:
        yield emulator


@pytest.fixture
def emulator(_shared: Emulator) -> Emulator:
    """A batch takes 100 emulated seconds, a cancellation 10."""
    _shared.reset()
    return _shared


@pytest.fixture
def api(emulator: Emulator) -> Iterator[httpx.Client]:
    """Plain HTTP, as curl would do it."""
    with client_of(emulator) as client:
        yield client


@pytest.fixture(autouse=True)
def _the_server_has_nothing_to_complain_of() -> Iterator[None]:
    """Planned faults are no surprise to it: no traceback in its log."""
    complaints: list[str] = []

    def heard(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            complaints.append(f"{record.getMessage()}{record.exc_info or ''}")
        return True

    log = logging.getLogger("uvicorn.error")
    log.addFilter(heard)
    yield
    log.removeFilter(heard)
    assert complaints == []
