"""Two executions of one run, a zombie and its successor, submit once."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager

import pytest

from tests.faults.matrix import Row
from tests.support.killing import executing as executing_now
from tests.support.killing import kill
from tests.support.processes import running, wait_until

CREATE = "POST /v1/messages/batches"


@contextmanager
def executing(stack, run_id: str, name: str):
    """A process that executes the run, as a worker starts it."""
    command = stack.execution(run_id)
    with running(command, env=stack.env, log=stack.home / f"execution-{name}.log") as process:
        yield process


def a_pending_run(stack, **parameters) -> str:
    """A run that no worker takes."""
    pool, stack.pool = stack.pool, "nobody"
    try:
        stack.create_pool()
        return stack.start(stack.deploy("pipelines.py:composed", name="nobody"), **parameters)
    finally:
        stack.pool = pool


def creates(emulator) -> int:
    return emulator.state()["calls"].get(CREATE, 0)


def looks(emulator) -> int:
    """How often the list of batches was read."""
    return emulator.state()["calls"].get("GET /v1/messages/batches", 0)


def freeze(run_id: str) -> set[int]:
    """Stop the processes that execute a run, and return their ids."""
    found = executing_now(run_id)
    assert found
    kill(*found, with_signal=signal.SIGSTOP)
    return found


def held(emulator) -> bool:
    return any(fault["held"] for fault in emulator.faults())


def test_a_successor_waits_for_the_create_call_of_a_live_predecessor(stack, emulator, matrix):
    run_id = a_pending_run(stack)
    emulator.plan({"on": "create", "hold": "after"})
    with executing(stack, run_id, "zombie") as zombie:
        wait_until(lambda: held(emulator), "the create call is under way")
        with executing(stack, run_id, "successor") as successor:
            wait_until(lambda: stack.logs(run_id).count("Beginning flow run") == 2, "both run")
            emulator.release()
            wait_until(lambda: zombie.poll() is not None, "the zombie has left")
            wait_until(lambda: successor.poll() is not None, "its successor has left")

    assert creates(emulator) == 1
    fault = "a second process executes the run while the create call of the first is held"
    matrix(row(emulator, fault))


def test_a_successor_takes_over_from_a_dead_predecessor(stack, emulator, matrix):
    run_id = a_pending_run(stack)
    emulator.plan({"on": "create", "hold": "before"})
    with executing(stack, run_id, "dead") as dead:
        wait_until(lambda: held(emulator), "the create call is under way")
        dead.kill()
    emulator.clear_faults()
    with executing(stack, run_id, "heir") as heir:
        wait_until(lambda: heir.poll() is not None, "its successor has left")

    fault = "a second process takes over from one that was killed in its create call"
    matrix(row(emulator, fault))


@pytest.mark.long
def test_a_frozen_sender_is_not_overtaken_while_its_create_call_may_be_under_way(
    stack, emulator, matrix
):
    """It is silent, and alive: its call is carried out while its successor waits."""
    run_id = a_pending_run(stack, timeout_seconds=5.0)
    emulator.plan({"on": "create", "hold": "before"})
    with executing(stack, run_id, "frozen") as frozen:
        wait_until(lambda: held(emulator), "the create call is under way")
        stopped = freeze(run_id)
        seen = looks(emulator)
        with executing(stack, run_id, "patient") as patient:
            wait_until(lambda: looks(emulator) > seen + 1, "its successor has looked for a batch")
            # Of what it does now there is no sign: it may do nothing for as long as a look takes.
            time.sleep(10)
            assert emulator.batches() == []
            emulator.release()
            wait_until(lambda: patient.poll() is not None, "its successor has left")
        kill(*stopped, with_signal=signal.SIGCONT)
        wait_until(lambda: frozen.poll() is not None, "the frozen one has left")

    assert creates(emulator) == 1
    fault = "a process is frozen in its create call, which is carried out later"
    matrix(row(emulator, fault, "a second process waits for the call, and collects its batch"))


@pytest.mark.long
def test_a_frozen_sender_is_overtaken_when_its_create_call_is_over(stack, emulator, matrix):
    run_id = a_pending_run(stack, timeout_seconds=5.0)
    emulator.plan({"on": "create", "hold": "before"})
    with executing(stack, run_id, "frozen") as frozen:
        wait_until(lambda: held(emulator), "the create call is under way")
        stopped = freeze(run_id)
        with executing(stack, run_id, "heir") as heir:
            wait_until(lambda: heir.poll() is not None, "its successor has left")
        assert len(emulator.batches()) == 1
        kill(*stopped, with_signal=signal.SIGCONT)
        wait_until(lambda: frozen.poll() is not None, "the frozen one has left")
        emulator.release()

    fault = "a process is frozen in its create call until long after, and then goes on"
    matrix(row(emulator, fault, "a second process makes the batch, and both collect it"))


def row(emulator, fault: str, seen: str = "both wait for the same batch") -> Row:
    batches = emulator.batches()
    rows = sum(batch["requests"] for batch in batches)
    assert (len(batches), rows) == (1, 4)
    return Row("kills", fault, seen, created=len(batches), paid=len(batches), lost=4 - rows)
