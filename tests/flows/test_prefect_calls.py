"""Calls of the Prefect API grow with batches, and with nothing else: at most 15 a batch."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.counting import CountingWire, counting_wire

SCRIPT = Path(__file__).parent / "scripts" / "files.py"
FEW, MANY = 10, 20
MOST_CALLS = 15


@pytest.mark.anthropic_emulator(batch_seconds=0.05)
def test_a_batch_takes_at_most_fifteen_calls(stack, emulator, tmp_path):
    with counting_wire(stack.api_url) as wire:
        env = {**stack.env, **emulator.environment(), "PREFECT_API_URL": wire.url}
        with jobs(env, tmp_path) as process:
            few = calls_of(FEW, process, wire)
            many = calls_of(MANY, process, wire)

    assert len(emulator.batches()) == FEW + MANY
    more = {call: count - few[call] for call, count in many.items() if count > few[call]}
    print(f"{few.total()} calls for {FEW} batches, {many.total()} for {MANY}; more: {more}")
    assert many.total() - few.total() <= MOST_CALLS * (MANY - FEW), more


@contextmanager
def jobs(env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own: what Prefect has begun to send through the wire, it sends there."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, SCRIPT, folder], env=env, text=True, **pipes) as process:
        yield process


def calls_of(batches: int, process: subprocess.Popen[str], wire: CountingWire) -> Counter[str]:
    wire.calls.clear()
    process.stdin.write(f"{batches}\n")
    process.stdin.flush()
    assert process.stdout.readline() == f"{batches}\n"
    return wire.calls.copy()
