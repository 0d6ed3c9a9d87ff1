"""A client, and an API that can fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshflow_prefect import AnthropicBatchClient
from meshflow_prefect.emulator import Emulator
from tests.support.scripted import ScriptedApi, scripted_api


@pytest.fixture
async def client(anthropic_emulator: Emulator):
    async with AnthropicBatchClient() as client:
        yield client


@pytest.fixture
def scripted(anthropic_emulator: Emulator) -> Iterator[ScriptedApi]:
    """A server in front of the emulator, that can fail."""
    with scripted_api(anthropic_emulator.base_url) as api:
        yield api
