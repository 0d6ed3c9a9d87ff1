"""A cancelled run takes its batches with it, unless it was told to keep them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun

from meshflow_prefect.emulator import Emulator
from tests.faults.matrix import Row
from tests.support.files import PROMPT, counting, write_rows
from tests.support.pools import deploy_cancel_batches, own_worker
from tests.support.processes import processes_of_run, wait_until
from tests.support.stack import Stack

RESTING = ("Suspended", "Resuming")


@pytest.fixture(scope="module")
def slow() -> Iterator[Emulator]:
    """An API whose batches do not end by themselves while a test looks."""
    with Emulator(batch_seconds=3600, cancel_seconds=1) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def cancelling(stack: Stack, slow: Emulator) -> Iterator[Stack]:
    """A worker on the pool of this project's deployments, `cancel-batches` among them."""
    with own_worker(stack, "meshflow", slow):
        deploy_cancel_batches(stack)
        yield stack


def at_rest(stack: Stack, run_id: str) -> None:
    stack.wait_for_state(run_id, *RESTING)
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")


def statuses(emulator: Emulator, since: int) -> list[str]:
    """What became of the batches that were made after the first `since`."""
    batches = emulator.batches()
    return [batch["status"] for batch in batches[: len(batches) - since]]


def cancellation_of(stack: Stack, run_id: str) -> FlowRun | None:
    """The run of `cancel-batches` for a run, once it has ended."""
    with stack.client as client:
        flows = FlowFilter(name=FlowFilterName(any_=["cancel-batches"]))
        for run in client.read_flow_runs(flow_filter=flows):
            if run.parameters["flow_run_id"].endswith(run_id) and run.state.is_final():
                return run
    return None


def cancelled(when: str, batches: int, *, then: str = "cancelled at Anthropic") -> Row:
    noun = "the batch is" if batches == 1 else "its batches are"
    seen = f"Cancelled; {noun} {then}"
    fault = f"the run is cancelled {when}"
    return Row("cancel", fault, seen, created=batches, paid=batches, lost=0)


@pytest.mark.parametrize("flow", ["composed", "pipeline", "gathered"])
def test_the_batches_of_a_suspended_run_are_cancelled(cancelling, slow, flow, matrix):
    before = len(slow.batches())
    run_id = cancelling.start(cancelling.deploy(f"pipelines.py:{flow}"))
    at_rest(cancelling, run_id)
    assert set(statuses(slow, before)) == {"in_progress"}

    cancelling.cancel(run_id)

    cancelling.wait_for_state(run_id, "Cancelled")
    wait_until(
        lambda: set(statuses(slow, before)) <= {"canceling", "ended"},
        "all its batches are cancelled",
    )
    wait_until(
        lambda: {r.state.name for r in cancelling.subflow_runs(run_id)} <= {"Cancelled"},
        "the runs below it are shown as cancelled",
    )
    made = len(slow.batches()) - before
    matrix(cancelled(f"while it is suspended ({flow})", made))


def test_the_batches_of_a_suspended_file_job_are_cancelled_and_no_further_one_is_sent(
    cancelling, slow, tmp_path, matrix
):
    before = len(slow.batches())
    source = write_rows(tmp_path / "in.jsonl", counting(8))
    deployment = cancelling.deploy("packaged.py:batch_file", flow_name="batch-file")
    run_id = cancelling.start(
        deployment,
        source=source,
        destination=str(tmp_path / "out.jsonl"),
        prompt=PROMPT,
        poll_interval=10,
        max_requests_per_batch=2,
        max_requests_in_queue=4,
    )
    at_rest(cancelling, run_id)
    assert statuses(slow, before) == ["in_progress"] * 2

    cancelling.cancel(run_id)

    cancelling.wait_for_state(run_id, "Cancelled")
    wait_until(lambda: set(statuses(slow, before)) <= {"canceling", "ended"}, "both are cancelled")
    assert len(statuses(slow, before)) == 2
    assert not (tmp_path / "out.jsonl").exists()
    matrix(cancelled("while it is suspended (bulk: two chunks of four wait)", 2))


def test_the_batch_of_a_run_that_keeps_it_goes_on(cancelling, slow, matrix):
    before = len(slow.batches())
    deployment = cancelling.deploy("packaged.py:batch_agent_tasks", flow_name="batch-agent-tasks")
    # Neither wakes while it is looked at: a slow machine would cancel a process instead.
    kept = cancelling.start(deployment, tasks=["Keep."], on_cancel="keep", poll_interval=600)
    at_rest(cancelling, kept)
    cancelling.cancel(kept)
    cancelling.wait_for_state(kept, "Cancelled")
    # The next cancellation is carried out after this one.
    other = cancelling.start(deployment, tasks=["Cancel."], poll_interval=600)
    at_rest(cancelling, other)
    cancelling.cancel(other)

    wait_until(lambda: statuses(slow, before)[0] != "in_progress", "the other batch is cancelled")
    assert statuses(slow, before)[1] == "in_progress"
    matrix(cancelled('while it is suspended, with `on_cancel="keep"`', 1, then="kept going"))


def test_the_batch_of_a_run_whose_process_is_alive_is_cancelled(cancelling, slow, matrix):
    before = len(slow.batches())
    run_id = cancelling.start(cancelling.deploy("pipelines.py:stays"))
    wait_until(lambda: len(slow.batches()) > before, "the batch is made")

    cancelling.cancel(run_id)

    cancelling.wait_for_state(run_id, "Cancelled")
    wait_until(lambda: statuses(slow, before)[0] != "in_progress", "the batch is cancelled")
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
    matrix(cancelled("while its process is alive", 1))


def test_a_run_that_is_cancelled_amid_its_create_call_says_what_may_go_on(cancelling, slow, matrix):
    """Before there are results nothing proves whose the batch is, and another's is left alone."""
    before = len(slow.batches())
    slow.plan({"on": "create", "hold": "after"})
    run_id = cancelling.start(cancelling.deploy("pipelines.py:stays"))
    wait_until(lambda: len(slow.batches()) > before, "the batch is made")
    batch_id = slow.batches()[0]["id"]

    cancelling.cancel(run_id)

    cancelling.wait_for_state(run_id, "Cancelled")
    slow.release()
    failed = wait_until(lambda: cancellation_of(cancelling, run_id), "its cancellation has ended")
    assert failed.state.name == "Failed"
    assert batch_id in failed.state.message
    assert "meshflow-prefect cancel" in failed.state.message
    assert statuses(slow, before) == ["in_progress"]
    seen = "Cancelled; the run of `cancel-batches` fails and names the batch, which goes on"
    matrix(Row("cancel", "the run is cancelled amid its create call", seen, 1, 1, 0))


def test_a_run_that_fails_keeps_its_batch(cancelling, slow):
    before = len(slow.batches())
    run_id = cancelling.start(cancelling.deploy("pipelines.py:gives_up"))

    cancelling.wait_for_state(run_id, "Failed")

    assert statuses(slow, before) == ["in_progress"]
