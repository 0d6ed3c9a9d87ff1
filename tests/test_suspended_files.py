"""A deployed file job has no process while Anthropic works, and goes on wherever the files are."""

from __future__ import annotations

import shutil
from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
)
from prefect.client.schemas.objects import Artifact
from prefect.states import Scheduled

from tests.support.files import PROMPT, counting, numbers, read_rows, sizes, write_rows
from tests.support.pools import own_worker
from tests.support.processes import processes_of_run, wait_until
from tests.support.stack import Stack

RESTING = ("Suspended", "Resuming")


def deployed(stack: Stack) -> UUID:
    return stack.deploy("packaged.py:batch_file", flow_name="batch-file")


def started(stack: Stack, source: object, destination: object, **options: Any) -> str:
    given = {"prompt": PROMPT, "poll_interval": 10, **options}
    return stack.start(deployed(stack), source=str(source), destination=str(destination), **given)


def at_rest(stack: Stack, run_id: str) -> None:
    stack.wait_for_state(run_id, *RESTING)
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")


def wake(stack: Stack, run_id: str, name: str = "Resuming") -> None:
    with stack.client as client:
        client.set_flow_run_state(UUID(run_id), Scheduled(name=name), force=True)


def progress_of(stack: Stack, run_id: str) -> list[Artifact]:
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]),
        type=ArtifactFilterType(any_=["progress"]),
    )
    with stack.client as client:
        return client.read_artifacts(artifact_filter=wanted)


def test_a_file_job_waits_without_a_process_and_shows_how_far_it_is(worker, emulator, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(6))
    run_id = started(worker, source, tmp_path / "out.jsonl", max_requests_per_batch=3)
    at_rest(worker, run_id)

    assert sizes(emulator) == [3, 3]
    assert not (tmp_path / "out.jsonl").exists()
    (shown,) = progress_of(worker, run_id)
    assert shown.data == 10.0
    assert "| chunks sent | 2 | 2 |" in shown.description
    assert "| batches ended | 0 | 2 |" in shown.description

    run = worker.finish(run_id)

    assert run.run_count == 1
    assert sizes(emulator) == [3, 3]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))
    states = [state.name for state in worker.states(run_id)]
    rest = states.index("Suspended")
    assert states[rest - 1 : rest + 3] == ["Running", "Suspended", "Resuming", "Pending"]
    (shown,) = progress_of(worker, run_id)
    assert shown.data == 100.0
    assert "| chunks sent | 2 | 2 |" in shown.description
    assert "| rows written | 6 | 6 |" in shown.description


def test_file_jobs_in_a_pipeline_as_subflow_and_in_a_task(worker, emulator, notes, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(4))
    deployment = worker.deploy("files.py:two_files")
    run_id = worker.start(deployment, source=source, folder=str(tmp_path))

    run = worker.finish(run_id)

    assert run.run_count == 1
    assert sizes(emulator) == [4, 4]
    assert len({note["pid"] for note in notes(run_id, "start")}) > 1
    assert notes(run_id, "done")[-1]["succeeded"] == [4, 4]
    for name in ("called.jsonl", "tasked.jsonl"):
        assert numbers(read_rows(tmp_path / name)) == list(range(4))


def test_another_worker_a_changed_source_and_a_lost_spool_submit_nothing_again(
    stack, emulator, tmp_path
):
    """Two chunks wait at once, of four: the worker goes, the source changes and comes back."""
    rows, spool = counting(8), tmp_path / "spool"
    source = write_rows(tmp_path / "in.jsonl", rows)
    with own_worker(stack, "leaving", emulator, MESHFLOW_SPOOL=str(tmp_path / "first-spool")):
        # No worker wakes the run by itself: each goes while it rests.
        options = {"max_requests_per_batch": 2, "max_requests_in_queue": 4, "poll_interval": 3600}
        run_id = started(stack, source, tmp_path / "out.jsonl", **options)
        at_rest(stack, run_id)
    assert sizes(emulator) == [2, 2]

    write_rows(tmp_path / "in.jsonl", [*rows[:-1], {"n": 99}])
    elsewhere = {"PREFECT_HOME": str(tmp_path / "home"), "MESHFLOW_SPOOL": str(spool)}
    storage = {"PREFECT_LOCAL_STORAGE_PATH": str(tmp_path / "home" / "storage")}
    with own_worker(stack, "leaving", emulator, **elsewhere, **storage):
        wake(stack, run_id)
        failed = stack.wait_for_state(run_id, "Failed")
        assert "are not what they were at" in failed.state.message
        assert "Restore them and retry the run" in failed.state.message
        assert sizes(emulator) == [2, 2]

        write_rows(tmp_path / "in.jsonl", rows)
        wake(stack, run_id, "AwaitingRetry")
        stack.wait_for_state(run_id, "Running")
        at_rest(stack, run_id)
        assert sizes(emulator) == [2, 2, 2, 2]
        assert len(list(spool.glob("job-*/results-*/*.json"))) == 2

        shutil.rmtree(spool)
        wake(stack, run_id)
        stack.finish(run_id)

    assert sizes(emulator) == [2, 2, 2, 2]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(8))
    assert list(spool.iterdir()) == []
