"""A deployed run has no process while Anthropic works, and pays once whatever happens meanwhile."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.pools import own_worker
from tests.support.processes import processes_of_run, running, wait_until
from tests.support.stack import DEPLOYED

RESTING = ("Suspended", "Resuming")


def prompts_of(rows: list[dict]) -> list[str]:
    """The custom ids of rows, without the part that names the job."""
    return [row["custom_id"].rpartition("-")[0] for row in rows]


def numbered(count: int) -> list[str]:
    return [f"task-{position}" for position in range(count)]


def test_a_pipeline_waits_without_a_process_and_goes_on_in_another(worker, emulator, notes):
    run_id = worker.start(worker.deploy("pipelines.py:pipeline"), count=5)
    worker.wait_for_state(run_id, *RESTING)
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
    assert worker.read(run_id).state.name in RESTING
    (subflow,) = worker.subflow_runs(run_id)
    assert subflow.state.name == "Suspended"

    run = worker.finish(run_id)

    assert run.run_count == 1
    first, *_, last = notes(run_id, "start")
    assert first["pid"] != last["pid"]
    assert len(notes(run_id, "extract")) == 1
    assert [batch["requests"] for batch in emulator.batches()] == [5]
    (loaded,) = notes(run_id, "load")
    assert loaded["pid"] == last["pid"]
    assert prompts_of(loaded["rows"]) == numbered(5)
    assert all(row["succeeded"] and row["cost_usd"] > 0 for row in loaded["rows"])
    assert [f"number {i}" in row["output"] for i, row in enumerate(loaded["rows"])] == [True] * 5


def test_every_check_of_a_suspended_run_is_a_task_run_that_ended(worker, emulator):
    run_id = worker.start(worker.deploy("pipelines.py:composed"))
    worker.finish(run_id)

    def all_ended():
        tasks = worker.task_runs(run_id)
        if any(task.state.name == "Running" for task in tasks):
            return None
        return sorted((task.name.split()[0], task.state.name) for task in tasks)

    states = wait_until(all_ended, "no task run is left in Running")
    assert ("poll", "Checked") in states
    assert ("poll", "Completed") in states
    assert ("collect", "Completed") in states


def test_states_names_and_order_of_a_suspended_run(worker, emulator):
    run_id = worker.start(worker.deploy("pipelines.py:composed"))
    worker.finish(run_id)

    names = [state.name for state in worker.states(run_id)]
    rest = names.index("Suspended")
    assert names[rest - 1 : rest + 3] == ["Running", "Suspended", "Resuming", "Pending"]
    assert len(emulator.batches()) == 1


def test_two_jobs_at_once_are_submitted_before_the_run_is_suspended(worker, emulator, notes):
    run_id = worker.start(worker.deploy("pipelines.py:gathered"))
    worker.wait_for_state(run_id, *RESTING)
    assert len(emulator.batches()) == 2

    worker.finish(run_id)

    assert len(emulator.batches()) == 2
    loaded = notes(run_id, "load")
    assert [["A 0" in r["rows"][0]["output"], "B 0" in r["rows"][0]["output"]] for r in loaded] == [
        [True, False],
        [False, True],
    ]
    assert {run.state.name for run in worker.subflow_runs(run_id)} == {"Completed"}


def test_two_jobs_of_the_same_content_in_one_flow_are_two_batches(worker, emulator, notes):
    run_id = worker.start(worker.deploy("pipelines.py:twice"))

    worker.finish(run_id)

    assert len(emulator.batches()) == 2
    first, second = notes(run_id, "load")[0], notes(run_id, "load")[-1]
    assert first["rows"][0]["message"]["id"] != second["rows"][0]["message"]["id"]


def test_jobs_two_levels_down_and_inside_a_task_suspend_their_run(worker, emulator, notes):
    run_id = worker.start(worker.deploy("pipelines.py:nested"))

    # A busy machine may begin one of them only after the others have left: it is next then.
    run = worker.finish(run_id)

    assert run.run_count == 1
    assert len(emulator.batches()) == 3
    (loaded,) = notes(run_id, "load")
    shown = [row["output"] for row in loaded["rows"]]
    expected = ["A 0", "A 1", "B 0", "B 1", "C 0", "C 1"]
    assert [prompt in text for prompt, text in zip(expected, shown, strict=True)] == [True] * 6
    assert "Crashed" not in {task.state.name for task in worker.task_runs(run_id)}


def test_tasks_submitted_to_threads_from_a_sync_flow_suspend_it_too(worker, emulator, notes):
    run_id = worker.start(worker.deploy("pipelines.py:submitted"))

    run = worker.finish(run_id)

    assert run.run_count == 1
    assert "Suspended" in [state.name for state in worker.states(run_id)]
    assert len(emulator.batches()) == 2
    (loaded,) = notes(run_id, "load")
    assert [row["custom_id"] for row in loaded["rows"]] == ["row-0", "row-1"] * 2


def test_a_flow_with_retries_fails_after_the_wait_and_retries_once(worker, emulator, notes):
    run_id = worker.start(worker.deploy("pipelines.py:fails_once"))

    run = worker.finish(run_id)

    assert run.run_count == 2
    assert [note["run_count"] for note in notes(run_id, "attempt")] == [1, 2]
    assert len(emulator.batches()) == 1


def test_a_flow_that_was_tried_again_before_its_wait_is_suspended_and_resumed(
    worker, emulator, notes
):
    """Of a flow that is tried again Prefect notes that its own process does so, for good."""
    run_id = worker.start(worker.deploy("pipelines.py:fails_before"))

    worker.finish(run_id)

    names = [state.name for state in worker.states(run_id)]
    assert "Resuming" in names[names.index("AwaitingRetry") :]
    assert len({note["pid"] for note in notes(run_id, "start")}) >= 2
    assert len(emulator.batches()) == 1


def test_a_run_is_not_resumed_before_a_worker_can_have_seen_the_end_of_its_process(stack, emulator):
    """A worker with a limit would end with an error, and its other runs with it."""
    with own_worker(stack, "limited", emulator, limit=2):
        deployment = stack.deploy("pipelines.py:hasty")
        runs = [stack.start(deployment) for _ in range(2)]
        assert [stack.finish(run_id).state.name for run_id in runs] == ["Completed"] * 2
    resumed = [
        state for run_id in runs for state in stack.states(run_id) if state.name == "Resuming"
    ]
    ahead = float(stack.env["PREFECT_WORKER_PREFETCH_SECONDS"])
    for state in resumed:
        left = state.state_details.scheduled_time - state.timestamp
        assert left.total_seconds() >= ahead + 3
    assert resumed
    assert len(emulator.batches()) == 2


def test_jobs_in_processes_of_a_task_runner_wait_there_and_all_of_them_end(worker, emulator, notes):
    """The flow's own process would not hear of a suspension, and stay for good."""
    run_id = worker.start(worker.deploy("pipelines.py:in_processes"))

    worker.finish(run_id)

    assert len(notes(run_id, "start")) == 1
    assert "Suspended" not in [state.name for state in worker.states(run_id)]
    assert len(emulator.batches()) == 2
    wait_until(lambda: not processes_of_run(run_id), "all processes of the run have ended")


def test_a_deployment_started_by_another_flow_suspends_itself_alone(worker, emulator, notes):
    worker.deploy("pipelines.py:pipeline", name="child")
    run_id = worker.start(worker.deploy("pipelines.py:starts_another"), deployment="pipeline/child")
    parent = worker.finish(run_id)

    (done,) = notes(run_id, "parent-done")
    assert done["state"] == "Completed"
    assert parent.run_count == 1
    assert "Suspended" not in [state.name for state in worker.states(run_id)]
    child_states = [state.name for state in worker.states(done["child"])]
    assert "Suspended" in child_states
    assert worker.read(done["child"]).run_count == 1
    assert len(emulator.batches()) == 1


def test_a_served_flow_suspends_and_resumes(stack, emulator, notes):
    script = "from pipelines import pipeline; pipeline.serve(name='served', limit=4)"
    log = stack.home / "serve.log"
    with running([sys.executable, "-c", script], env=stack.env, log=log, cwd=DEPLOYED):
        deployment = wait_until(lambda: stack.find("pipeline/served"), "the flow is served")
        run_id = stack.start(deployment, count=3)
        stack.wait_for_state(run_id, *RESTING)
        wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
        run = stack.finish(run_id)

    assert run.run_count == 1
    assert len({note["pid"] for note in notes(run_id, "start")}) > 1
    assert len(emulator.batches()) == 1
    (loaded,) = notes(run_id, "load")
    assert prompts_of(loaded["rows"]) == numbered(3)


@pytest.mark.parametrize("redeployed", ["other steps", "another prompt"])
def test_new_code_another_worker_and_lost_storage_find_the_same_batch(
    stack, emulator, notes, tmp_path, redeployed
):
    """While the run is suspended: its worker goes, its results are lost, its code changes."""
    # Long enough that the worker is gone before it could wake the run.
    source = (DEPLOYED / "pipelines.py").read_text().replace("INTERVAL = 15.0", "INTERVAL = 30.0")
    code = tmp_path / "pipelines.py"
    code.write_text(source)
    pool, stack.pool = stack.pool, "moving"
    stack.create_pool()
    try:
        with stack.worker("leaving"):
            run_id = stack.start(stack.deploy("pipelines.py:pipeline", directory=tmp_path), count=4)
            stack.wait_for_state(run_id, *RESTING)
            wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
        shutil.rmtree(stack.env["PREFECT_LOCAL_STORAGE_PATH"], ignore_errors=True)
        assert stack.read(run_id).state.name in RESTING
        changed = source.replace('note("start")', 'note("start", version=2)')
        if redeployed == "another prompt":
            changed = changed.replace("Name the number", "Spell the number")
        code.write_text(changed)
        stack.deploy("pipelines.py:pipeline", directory=tmp_path, version="2")
        other_disk = tmp_path / "other-disk"
        with stack.worker("arriving", PREFECT_LOCAL_STORAGE_PATH=str(other_disk)):
            run = stack.finish(run_id)
            # A worker that stops takes the process with it, and the log lines not yet sent.
            wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
    finally:
        stack.pool = pool

    assert run.run_count == 1
    assert notes(run_id, "start")[-1]["version"] == 2
    assert len(emulator.batches()) == 1
    (loaded,) = notes(run_id, "load")
    assert prompts_of(loaded["rows"]) == numbered(4)
    assert all(row["succeeded"] for row in loaded["rows"])
    if redeployed == "another prompt":
        changes = [line for line in stack.subflow_logs(run_id) if "requests have changed" in line]
        assert changes


def test_lost_storage_after_one_of_two_calls_has_ended_costs_no_row_and_no_batch(
    worker, emulator, notes
):
    run_id = worker.start(worker.deploy("pipelines.py:twice"))
    wait_until(lambda: len(emulator.batches()) == 2, "the second batch is made", limit=180.0)
    worker.wait_for_state(run_id, *RESTING)
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
    (first,) = notes(run_id, "load")
    shutil.rmtree(worker.env["PREFECT_LOCAL_STORAGE_PATH"])

    worker.finish(run_id)

    assert len(emulator.batches()) == 2
    *_, again, second = notes(run_id, "load")
    assert again["rows"] == first["rows"]
    assert second["rows"][0]["message"]["id"] != first["rows"][0]["message"]["id"]
    assert [row["succeeded"] for row in second["rows"]] == [True, True]


def test_cancelling_a_suspended_run_ends_in_cancelled(worker, emulator):
    run_id = worker.start(worker.deploy("pipelines.py:composed"))
    worker.wait_for_state(run_id, "Resuming")
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")

    worker.cancel(run_id)

    worker.wait_for_state(run_id, "Cancelled")
    assert len(emulator.batches()) == 1


@pytest.mark.parametrize("where", ["api_key", "credentials"])
def test_a_key_as_parameter_of_a_deployed_run_is_refused_and_erased(worker, emulator, where):
    key = "sk-ant-key-in-a-parameter-0123456789"
    given = {"api_key": key} if where == "api_key" else {"credentials": {"api_key": key}}
    run_id = worker.start(packaged(worker), tasks=["One."], **given)

    run = worker.wait_for_state(run_id, "Failed")

    assert "stores parameters in clear" in run.state.message
    assert "AnthropicCredentials" in run.state.message
    assert key not in json.dumps(worker.read(run_id).parameters)
    assert key not in run.state.message
    assert emulator.batches() == []


def test_a_block_that_was_chosen_in_the_ui_is_used(worker, emulator):
    block_id = save_block(emulator, "sk-ant-key-of-the-ui-0123456789", "chosen")
    reference = {"$ref": {"block_document_id": str(block_id)}}
    run_id = worker.start(packaged(worker), tasks=["One."], credentials=reference, poll_interval=10)

    worker.finish(run_id)

    assert len({call["key_fingerprint"] for call in emulator.calls()}) == 1
    assert len(emulator.batches()) == 1


def test_the_key_is_nowhere_in_the_database_the_storage_and_the_logs(worker, emulator):
    from tests.conftest import WORKER_KEY

    in_block = "sk-ant-key-in-the-block-0123456789"
    in_code = worker.env["MESHFLOW_TEST_KEY"]
    save_block(emulator, in_block, "of-the-test")
    runs = [
        worker.start(worker.deploy("pipelines.py:pipeline"), count=2, credentials="of-the-test"),
        worker.start(worker.deploy("pipelines.py:keyed")),
        worker.start(worker.deploy("pipelines.py:keyed"), tasks=["", "x"]),
    ]
    for run_id in runs[:2]:
        worker.finish(run_id)
    assert "expected a non-empty text" in worker.wait_for_state(runs[2], "Failed").state.message

    used = {call["key_fingerprint"] for call in emulator.calls()}
    assert len(used) == 2, "both keys reached the API"
    for key in (in_block, in_code, WORKER_KEY):
        hits = [str(path) for path in files_below(worker.home) if key.encode() in path.read_bytes()]
        assert hits == []


def packaged(stack) -> UUID:
    """The package's own flow as a deployment."""
    return stack.deploy("packaged.py:batch_agent_tasks", flow_name="batch-agent-tasks")


def save_block(emulator, key: str, name: str) -> UUID:
    from meshflow_prefect import AnthropicCredentials

    block = AnthropicCredentials(api_key=key, base_url=emulator.base_url)
    return block.save(name, overwrite=True, _sync=True)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_wait_that_is_given_up_leaves_no_process_behind_that_waits_for_it(
    worker, emulator, notes
):
    run_id = worker.start(worker.deploy("pipelines.py:impatient"))
    worker.wait_for_state(run_id, *RESTING)
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")

    run = worker.finish(run_id)

    assert run.run_count == 1
    assert len({note["pid"] for note in notes(run_id, "start")}) > 1
    assert [batch["requests"] for batch in emulator.batches()] == [3]
