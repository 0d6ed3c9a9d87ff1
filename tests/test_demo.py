"""The demo and the live script, as `make` runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.processes import end_group, processes_with, wait_until

ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "demo"]


def test_the_demo_tells_of_a_real_suspension_and_leaves_no_process(tmp_path):
    env = os.environ | {"COLUMNS": "160", "OF_TEST": str(tmp_path)}
    done = subprocess.run(DEMO, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    told = iter(done.stdout.splitlines())
    for fact in (
        "ran `extract` and submitted batch msgbatch_",
        "the process table has none of this run",
        "resumed the run in process",
        "`extract` ran 1 time, run_count is 1.",
        "Suspended",
        "Completed",
        "task-4-",
        "Cost: US$",
        "Batches made at Anthropic (the emulator) in all: 1.",
        "Every process of the demo has been ended",
    ):
        assert any(fact in line for line in told), f"not told, or not in order: {fact}"
    assert processes_with(f"OF_TEST={tmp_path}") == []


def test_an_interrupted_demo_leaves_neither_a_process_nor_a_folder(tmp_path):
    env = os.environ | {"OF_TEST": str(tmp_path), "TMPDIR": str(tmp_path)}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            DEMO, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        # The emulator, the server, the worker and the command that deploys.
        wait_until(lambda: len(processes_with(f"OF_TEST={tmp_path}")) > 3, "all have been started")
        for _ in range(2):  # The second one is a person who is in a hurry.
            process.send_signal(signal.SIGINT)
            process.poll()
        assert process.wait(60) == 130
    finally:
        end_group(process)

    assert "Interrupted. Every process of the demo has been ended" in log.read_text()
    assert processes_with(f"OF_TEST={tmp_path}") == []
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def live(stack, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo.live"]
    return subprocess.run(
        command, cwd=ROOT, env=stack.env | env, capture_output=True, text=True, check=False
    )


def test_live_runs_two_requests_and_prints_their_cost(stack, emulator):
    done = live(stack)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "by-client succeeded" in done.stdout
    assert "Cost: US$ 0.0" in done.stdout
    assert [batch["requests"] for batch in emulator.batches()] == [1, 1]


def test_live_without_a_key_or_with_a_wrong_one_says_so(stack, emulator):
    without = live(stack, ANTHROPIC_API_KEY="")
    assert without.returncode == 1
    assert without.stderr.strip() == "make live talks to the real API: set ANTHROPIC_API_KEY first."

    refused = live(stack, ANTHROPIC_API_KEY="sk-ant-invalid-of-this-test")
    assert refused.returncode == 1
    assert "Anthropic refused the key" in refused.stderr.splitlines()[-1]
    assert "sk-ant-invalid-of-this-test" not in refused.stdout + refused.stderr
    assert emulator.batches() == []
