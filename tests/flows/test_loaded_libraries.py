"""What a run loads: what takes long to load keeps the caller's event loop waiting."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.jobs import KEY

SCRIPT = """
import asyncio, sys
from meshflow_prefect import batch_agent_tasks, batch_file

asyncio.run(
    batch_agent_tasks(
        ["Hello."], api_key=sys.argv[1], params={"metadata": {"user_id": "me"}}, poll_interval=0.1
    )
)
asyncio.run(batch_file(*sys.argv[2:], prompt="{text}", poll_interval=0.1))
print("fastapi" in sys.modules, end="")
"""


@pytest.mark.anthropic_emulator(batch_seconds=0.05)
def test_a_run_does_not_load_the_framework_of_prefects_server(stack, emulator, tmp_path):
    source, destination = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": "Hello."}))

    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, KEY, source, destination],
        env={**stack.env, **emulator.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert ran.stdout == "False"
