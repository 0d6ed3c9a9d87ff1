"""Scripts with a job key: killed and started again, or at the same time, they share one batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.jobs import stepped
from tests.support.processes import end_group, wait_until

SCRIPT = """
import asyncio, json, sys
from meshflow_prefect import batch_agent_tasks

results = asyncio.run(
    batch_agent_tasks(
        [f"Name the number {n}." for n in range(3)], job_key=sys.argv[1], poll_interval=0.2
    )
)
print(json.dumps([[result.custom_id, result.succeeded, result.output] for result in results]))
"""
RETRIEVE = "GET /v1/messages/batches/{id}"


@pytest.fixture
def start(stack, emulator, request, tmp_path):
    """Starts the script as a process of its own; all that was started is ended."""
    path = tmp_path / "job.py"
    path.write_text(SCRIPT)
    # A stepped clock stands still where the machine's goes on; each run is a new run of Prefect.
    env = {**stack.env, **emulator.environment(), "PREFECT_LOCAL_STORAGE_PATH": str(tmp_path / "s")}
    started: list[subprocess.Popen] = []

    def run(name: str) -> tuple[subprocess.Popen, Path]:
        out = tmp_path / name
        with out.open("wb") as output, Path(f"{out}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(path), f"job of {request.node.name}"],
                env=env,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return process, out

    yield run
    for process in started:
        end_group(process)


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL


def rows(process: subprocess.Popen, out: Path) -> list:
    assert process.wait(150) == 0, Path(f"{out}.log").read_text()
    return json.loads(out.read_text())


def held(emulator) -> int:
    return emulator.faults()[0]["held"]


def retrieved(emulator) -> int:
    return emulator.state()["calls"].get(RETRIEVE, 0)


@stepped
def test_a_script_killed_in_its_wait_and_started_again_collects_the_first_batch(emulator, start):
    process, _ = start("first")
    wait_until(lambda: retrieved(emulator), "the first script waits for its batch", limit=90)
    kill(process)

    seen = retrieved(emulator)
    again, out = start("second")
    wait_until(lambda: retrieved(emulator) > seen, "the second script waits too", limit=90)
    emulator.advance(61)

    found = rows(again, out)
    assert [row[0].rpartition("-")[0] for row in found] == ["task-0", "task-1", "task-2"]
    assert [row[1] for row in found] == [True] * 3
    assert len(emulator.batches()) == 1


@stepped
def test_a_script_killed_before_it_had_the_answer_and_started_again_collects_the_first_batch(
    emulator, start
):
    """The batch is made, and nobody has written down which it is."""
    emulator.plan({"on": "create", "hold": "after"})
    process, _ = start("first")
    wait_until(lambda: held(emulator), "the first script has submitted", limit=90)
    kill(process)
    emulator.advance(61)

    again, out = start("second")

    assert [row[1] for row in rows(again, out)] == [True] * 3
    assert len(emulator.batches()) == 1


@pytest.mark.anthropic_emulator(batch_seconds=1)
def test_two_scripts_that_are_started_at_the_same_time_share_one_batch(emulator, start):
    both = [start(name) for name in ("first", "second")]

    first, second = (rows(process, out) for process, out in both)

    assert first == second
    assert [row[1] for row in first] == [True] * 3
    assert len(emulator.batches()) == 1
