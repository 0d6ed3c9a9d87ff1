"""A signal ends a command wherever it meets the program."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

IN_A_CALLBACK = """
import asyncio, os, signal
from prefect import flow
from meshflow_prefect.cli.jobs import interruptible

@flow
async def waits():
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await asyncio.sleep(600)

interruptible(waits())
"""


def test_a_signal_that_is_raised_in_a_callback_of_the_event_loop_is_not_lost(stack):
    command = [sys.executable, "-c", IN_A_CALLBACK]

    ended = subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=120)

    assert ended.returncode == 143, ended.stderr
    assert "the same command collects it" in ended.stderr


DOES_NOT_END = """
import asyncio
from meshflow_prefect.cli.jobs import interruptible

async def waits():
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            print("cancelled", flush=True)

interruptible(waits())
"""


@pytest.mark.parametrize("times", [1, 2])
def test_what_does_not_end_by_a_ctrl_c_is_left_after_a_while_or_at_the_next_one(times):
    """Prefect waits without end for a server of its own that the same Ctrl-C has ended."""
    command = [sys.executable, "-c", DOES_NOT_END]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for expected in ["ready", "cancelled"][:times]:
            assert process.stdout.readline().strip() == expected
            process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)

    assert process.returncode == 130, told
    assert told.strip() == (
        "Stopped. What was submitted goes on at Anthropic; the same command collects it."
    )


LOSES_IT = """
import asyncio, os, signal
from meshflow_prefect.cli.jobs import interruptible

class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

async def waits():
    Thing()
    await asyncio.sleep(600)

interruptible(waits())
"""


def test_a_signal_that_is_lost_ends_the_command_all_the_same():
    """What is raised in a finalizer is printed, and nothing else."""
    ended = subprocess.run(
        [sys.executable, "-c", LOSES_IT], capture_output=True, text=True, timeout=120
    )

    assert ended.returncode == 143, ended.stderr
    assert "the same command collects it" in ended.stderr
