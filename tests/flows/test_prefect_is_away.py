"""Prefect cannot be asked while a batch is made: what is paid for is recorded later."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.scripted import Answer, problem, scripted_api

SCRIPT = Path(__file__).parent / "scripts" / "three.py"
RECORD = re.compile("POST /api/flow_runs/[-0-9a-f]+/input$")


def test_a_batch_is_recorded_where_prefect_fails_right_after_it_was_made(stack, emulator):
    faults = [problem(500, "error", "Out of order")] * 3

    def fail(call: str) -> Answer | None:
        return faults.pop() if RECORD.match(call) and emulator.batches() and faults else None

    with scripted_api(stack.api_url.removesuffix("/api")) as prefect:
        prefect.script = fail
        env = {**stack.env, **emulator.environment(), "PREFECT_API_URL": f"{prefect.base_url}/api"}
        process = subprocess.run(
            [sys.executable, SCRIPT], env=env, capture_output=True, text=True, timeout=180
        )

    assert process.stdout == "3\n", process.stderr
    (made,) = [batch["id"] for batch in emulator.batches()]
    assert f"Batch {made} was made, and cannot be recorded yet" in process.stderr
    assert faults == []
