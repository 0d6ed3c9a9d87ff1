"""A signal ends a command wherever it meets the program."""

from __future__ import annotations

import subprocess
import sys

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
