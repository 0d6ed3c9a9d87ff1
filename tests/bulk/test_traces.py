"""What a run leaves in Prefect and on the disk does not grow with its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from meshflow_prefect import batch_file
from tests.support.files import PROMPT, counting, write_rows
from tests.support.jobs import SOON
from tests.support.stack import Stack


def artifacts(stack: Stack, run_id: UUID) -> list[Any]:
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    with stack.client as client:
        found = client.read_artifacts(artifact_filter=chosen)
    # Prefect notes the result of a run as an artifact without a type.
    return [artifact for artifact in found if artifact.type is not None]


async def run_of_rows(stack: Stack, tmp_path: Path, count: int, **options: Any) -> Any:
    source = write_rows(tmp_path / f"in-{count}.jsonl", counting(count))
    destination = str(tmp_path / f"out-{count}.jsonl")
    state = await batch_file(
        source, destination, PROMPT, poll_interval=SOON, return_state=True, **options
    )
    assert state.is_completed(), state
    return stack.read(str(state.state_details.flow_run_id))


async def test_parameters_tasks_logs_results_and_artifacts_are_as_many_and_as_large(
    stack, tmp_path, own_storage, caplog
):
    found = []
    for count in (10, 2_000):
        caplog.clear()
        before = {path: path.stat().st_size for path in own_storage.rglob("*") if path.is_file()}
        run = await run_of_rows(stack, tmp_path, count)
        stored = sum(
            path.stat().st_size
            for path in own_storage.rglob("*")
            if path.is_file() and path not in before
        )
        made = artifacts(stack, run.id)
        found.append(
            {
                "parameters": len(str(run.parameters)),
                "tasks": len(stack.task_runs(str(run.id))),
                "logs": len([r for r in caplog.records if r.name.startswith("prefect.")]),
                "stored": stored,
                "artifacts": len(made),
                "artifact": len(made[0].description),
            }
        )

    few, many = found
    assert few["artifacts"] == many["artifacts"] == 1
    assert few["tasks"] == many["tasks"] == 5
    # Each look at a batch that goes on may be a line: those depend on the time.
    assert many["logs"] <= few["logs"] + 10
    for name in ("parameters", "stored", "artifact"):
        # The same figures, with more digits.
        assert many[name] <= few[name] + 60, (name, few, many)


async def test_the_progress_artifact_says_the_final_figures(emulator, stack, tmp_path):
    emulator.plan({"on": "rows", "custom_id": "task-3-*", "outcome": "errored"})

    run = await run_of_rows(stack, tmp_path, 9, max_requests_per_batch=4)

    (artifact,) = artifacts(stack, run.id)
    assert artifact.type == "progress"
    assert artifact.data == pytest.approx(100.0)
    words = artifact.description
    for stage, done in (
        ("rows read", 9),
        ("chunks sent", 3),
        ("batches ended", 3),
        ("requests ended", 9),
        ("rows written", 9),
    ):
        assert f"| {stage} | {done} | {done} |" in words
    rows = (tmp_path / "out-9.jsonl").read_text()
    assert rows.count('"succeeded":true') == 9
    assert "US$ 0.000000 so far" not in words
    assert "0 bad rows" in words


async def test_nothing_is_left_on_the_disk(stack, tmp_path, spools):
    await run_of_rows(stack, tmp_path, 9, max_requests_per_batch=4, deduplicate=True)

    assert list(spools.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"in-9.jsonl", "out-9.jsonl", "spools"}


async def test_what_others_keep_beside_it_is_left_alone(stack, tmp_path, spools):
    (spools / "job-mine").mkdir(parents=True)
    (spools / "job-0123456789abcdef01234567").mkdir()

    await run_of_rows(stack, tmp_path, 2)

    assert {path.name for path in spools.iterdir()} == {"job-mine", "job-0123456789abcdef01234567"}
