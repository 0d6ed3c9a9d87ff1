"""A refusal that asks to wait for more than a minute: the run waits without a process."""

from __future__ import annotations

import pytest

from tests.faults.matrix import Row
from tests.support.processes import processes_of_run, wait_until


@pytest.mark.long
def test_a_refusal_for_more_than_a_minute_suspends_the_run(worker, emulator, notes, matrix):
    emulator.plan({"on": "create", "status": 429, "headers": {"retry-after": "61"}})
    run_id = worker.start(worker.deploy("pipelines.py:pipeline"), count=3)

    worker.wait_for_state(run_id, "Resuming")
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
    assert emulator.batches() == []
    run = worker.finish(run_id)

    assert run.run_count == 1
    (loaded,) = notes(run_id, "load")
    assert all(row["succeeded"] for row in loaded["rows"])
    made, rows = len(emulator.batches()), len(loaded["rows"])
    assert (made, rows) == (1, 3)
    fault = "429 with retry-after of 61 s: the run is suspended"
    matrix(Row("create", fault, "all rows", created=made, paid=made, lost=3 - rows))
