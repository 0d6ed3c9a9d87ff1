"""`prefect deploy --all`, as the README says, on a real server with a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

REQUESTS = {
    "batch-agent-tasks/batch-agent-tasks": 2,
    "batch-file/batch-file": 12,
    "nightly-eval/nightly-eval": 20,
    "cost-gate/cost-gate": 12,
    "bulk-documents/bulk-documents": 6,  # the seventh document is encrypted
    "prompt-ab-test/prompt-ab-test": 40,  # two prompts for each of twenty cases
}
"""How many requests each deployment sends, all in one batch."""


def test_every_deployment_of_the_project_deploys_sleeps_and_reports(stack, emulator, tmp_path):
    """All at once, with the parameters of `prefect.yaml`, but for places and haste."""
    output, documents = tmp_path / "reviews.jsonl", tmp_path / "documents.jsonl"
    others = {
        "batch-file/batch-file": {"destination": str(output)},
        "bulk-documents/bulk-documents": {"destination": str(documents)},
        "cost-gate/cost-gate": {"update_baseline": True},
    }
    pool, stack.pool = stack.pool, "meshflow"
    try:
        stack.create_pool()
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        deployed = subprocess.run(
            deploy, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False
        )
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        with stack.worker("of-the-pool"):
            started = {
                name: stack.start(stack.find(name), poll_interval=10, **others.get(name, {}))
                for name in REQUESTS
            }
            ended = {name: stack.finish(run_id, limit=600) for name, run_id in started.items()}
    finally:
        stack.pool = pool

    for name, run in ended.items():
        assert "meshflow" in run.tags, name
        assert "Suspended" in [state.name for state in stack.states(started[name])], name
        assert run.run_count == 1, name
    made = [batch["requests"] for batch in emulator.batches()]
    assert sorted(made) == sorted(REQUESTS.values())
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    with (ROOT / "flows/data/reviews.jsonl").open() as source:
        assert [row["custom_id"] for row in rows] == [json.loads(line)["id"] for line in source]
    assert all(row["succeeded"] and row["text"] for row in rows)
    read = [json.loads(line) for line in documents.read_text().splitlines()]
    assert [row["custom_id"] for row in read if row["error_type"] == "bad_row"] == ["locked.pdf"]
    assert sum(row["succeeded"] for row in read) == REQUESTS["bulk-documents/bulk-documents"]
