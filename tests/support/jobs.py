"""Small jobs that several tests use."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun, State

from meshflow_prefect import BatchRequest
from tests.support.stack import Stack

KEY = "sk-ant-key-of-this-test-0123456789"
SOON = 0.05
"""Seconds between two checks."""

stepped = pytest.mark.anthropic_emulator(clock="stepped", batch_seconds=60, cancel_seconds=10)
quick = pytest.mark.anthropic_emulator(batch_seconds=0.2)


def named(count: int) -> list[str]:
    return [f"Name the number {n}." for n in range(count)]


def requests(count: int) -> list[BatchRequest]:
    return [BatchRequest(f"row-{n}", f"Name the number {n}.") for n in range(count)]


def run_of(stack: Stack, state: State) -> FlowRun:
    return stack.read(str(state.state_details.flow_run_id))


def numbered(count: int, **fields: Any) -> list[BatchRequest]:
    return [BatchRequest(f"row-{n}", f"Name the number {n}.", **fields) for n in range(count)]
