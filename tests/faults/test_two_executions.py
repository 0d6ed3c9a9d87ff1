"""Two executions of one run, a zombie and its successor, submit once."""

from __future__ import annotations

import sys
from contextlib import contextmanager

from tests.faults.matrix import Row
from tests.support.processes import running, wait_until

CREATE = "POST /v1/messages/batches"


@contextmanager
def executing(stack, run_id: str, name: str):
    """A process that executes the run, as a worker starts it."""
    command = [sys.executable, "-m", "prefect", "flow-run", "execute", run_id]
    with running(command, env=stack.env, log=stack.home / f"execution-{name}.log") as process:
        yield process


def a_pending_run(stack) -> str:
    """A run that no worker takes."""
    pool, stack.pool = stack.pool, "nobody"
    try:
        stack.create_pool()
        return stack.start(stack.deploy("pipelines.py:composed", name="nobody"))
    finally:
        stack.pool = pool


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

    assert emulator.state()["calls"][CREATE] == 1
    assert [batch["requests"] for batch in emulator.batches()] == [4]
    matrix(row("a second process executes the run while the create call of the first is held"))


def test_a_successor_takes_over_from_a_dead_predecessor(stack, emulator, matrix):
    run_id = a_pending_run(stack)
    emulator.plan({"on": "create", "hold": "before"})
    with executing(stack, run_id, "dead") as dead:
        wait_until(lambda: held(emulator), "the create call is under way")
        dead.kill()
    emulator.clear_faults()
    with executing(stack, run_id, "heir") as heir:
        wait_until(lambda: heir.poll() is not None, "its successor has left")

    assert [batch["requests"] for batch in emulator.batches()] == [4]
    matrix(row("a second process takes over from one that was killed in its create call"))


def row(fault: str) -> Row:
    return Row("kills", fault, "both wait for the same batch", created=1, paid=1, lost=0)
