"""`prefect deploy --all`, as the README says, on a real server with a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_deployment_of_the_project_deploys_and_runs(stack, emulator, tmp_path):
    pool, stack.pool = stack.pool, "meshflow"
    try:
        stack.create_pool()
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        deployed = subprocess.run(
            deploy, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False
        )
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        deployment = stack.find("batch-agent-tasks/batch-agent-tasks")
        files = stack.find("batch-file/batch-file")
        output = tmp_path / "reviews.jsonl"
        with stack.worker("of-the-pool"):
            run_id = stack.start(deployment, tasks=["One.", "Two."], poll_interval=10)
            run = stack.finish(run_id)
            file_run_id = stack.start(files, destination=str(output), poll_interval=10)
            file_run = stack.finish(file_run_id)
    finally:
        stack.pool = pool

    assert "meshflow" in run.tags
    assert "Suspended" in [state.name for state in stack.states(run_id)]
    assert "Suspended" in [state.name for state in stack.states(file_run_id)]
    assert file_run.run_count == 1
    assert [batch["requests"] for batch in emulator.batches()] == [12, 2]
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    with (ROOT / "flows/data/reviews.jsonl").open() as source:
        assert [row["custom_id"] for row in rows] == [json.loads(line)["id"] for line in source]
    assert all(row["succeeded"] and row["text"] for row in rows)
