"""The same faults for the SDK's own loop and for our flow, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshflow_prefect.emulator import Emulator
from tests.faults.matrix import Row
from tests.support.processes import running, wait_until

SCRIPTS = Path(__file__).parent / "scripts"
LOOP, FLOW = "sdk_loop", "our_flow"


@dataclass(frozen=True)
class Fault:
    words: str
    plan: dict[str, Any]
    killed: bool = False
    """Whether the process is killed while the fault holds its call, and started again."""


FAULTS = [
    Fault("create is accepted and answered with 500", {"accept": True, "status": 500}),
    Fault("create is accepted and the connection breaks", {"accept": True, "drop": True}),
    Fault("killed between the create call and its record", {"hold": "after"}, killed=True),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.words.replace(" ", "-"))
@pytest.mark.parametrize("script", [LOOP, FLOW])
def test_batches_made_under_the_same_fault(stack, tmp_path, matrix, script, fault):
    count = 3 + FAULTS.index(fault)
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), str(count)]
    with Emulator(batch_seconds=1) as emulator:
        env = {**stack.env, **emulator.environment()}
        emulator.plan({"on": "create", **fault.plan})
        if fault.killed:
            with running(command, env=env, log=tmp_path / "killed.log") as process:
                wait_until(lambda: any(f["held"] for f in emulator.faults()), "create is held")
                process.kill()
            emulator.clear_faults()
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        made = len(emulator.batches())

    assert done.returncode == 0, done.stderr
    rows = int(done.stdout.split()[-1])
    assert rows == count
    matrix(
        Row(
            group="beside",
            fault=fault.words,
            seen="batch_agent_tasks" if script == FLOW else "the SDK's loop",
            created=made,
            paid=made,
            lost=count - rows,
        )
    )
    assert made == 1 if script == FLOW else made > 1
