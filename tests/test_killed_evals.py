"""An eval whose processes are SIGKILLed after its batch pays once, and tells of one run."""

from __future__ import annotations

import json
import subprocess

from meshflow_prefect.emulator import Emulator
from tests.support.evals import pages_of
from tests.support.files import sizes


def test_an_eval_that_dies_as_it_grades_and_when_its_history_is_written_is_one_run_in_it(
    stack, tmp_path
):
    with Emulator(batch_seconds=0.01) as emulator:
        run_id = stack.start(stack.deploy("killed_eval.py:killed_eval"), folder=str(tmp_path))
        command = stack.execution(run_id)
        env = stack.env | emulator.environment()
        for killed_at in ("graded", "kept"):
            subprocess.run(command, env=env, timeout=180, check=False)
            assert (tmp_path / killed_at).exists()
            assert stack.read(run_id).state.name in ("Running", "Crashed")
        subprocess.run(command, env=env, timeout=180, check=True)

        assert sizes(emulator) == [4]
    assert stack.read(run_id).state.name == "Completed", stack.logs(run_id)
    (kept,) = json.loads((tmp_path / "history.json").read_text())["eval_runs"]
    assert (kept["run_id"], kept["passed"]) == (run_id, True)
    (page,) = pages_of(stack, run_id)
    assert page.key == "eval-killed"
