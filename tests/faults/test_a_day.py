"""A wait of 24 simulated hours, with the API away for three of them."""

from __future__ import annotations

import json

from meshflow_prefect.emulator import Emulator
from tests.faults.matrix import Row
from tests.support.pools import own_worker
from tests.support.processes import wait_until

HOUR = 3600
STEP = 4
"""Hours between two looks."""
RETRIEVE = "GET /v1/messages/batches/{id}"


def looks(emulator: Emulator, *, answered: bool) -> int:
    """How often a batch was looked at, and how often without an answer."""
    calls = [call for call in emulator.calls() if call["endpoint"] == RETRIEVE]
    return sum((call["status"] == 200) == answered for call in calls)


def test_a_day_with_an_outage_of_three_hours_is_one_batch_and_all_rows(stack, notes, matrix):
    with (
        Emulator(clock="stepped", batch_seconds=24 * HOUR - 60) as emulator,
        own_worker(stack, "patient", emulator),
    ):
        run_id = stack.start(stack.deploy("pipelines.py:one_day"), count=5)
        for hour in range(0, 24, STEP):
            away = hour == 12
            if away:
                emulator.go_away(3 * HOUR)
            seen = looks(emulator, answered=not away)
            wait_until(
                lambda away=away, seen=seen: looks(emulator, answered=not away) > seen,
                f"the batch is looked at {hour} hours after its creation",
            )
            emulator.advance(STEP * HOUR)
        run = stack.finish(run_id)
        batches = emulator.batches()
        unanswered = looks(emulator, answered=False)

    (loaded,) = notes(run_id, "load")
    ids = [row["custom_id"].rpartition("-")[0] for row in loaded["rows"]]
    assert ids == [f"task-{n}" for n in range(5)]
    assert all(row["succeeded"] for row in loaded["rows"])
    assert [batch["requests"] for batch in batches] == [5]
    assert run.run_count == 1
    names = [state.name for state in stack.states(run_id)]
    print(json.dumps({"wakes": names.count("Resuming"), "looks without an answer": unanswered}))
    assert names.count("Resuming") >= 24 // STEP - 1
    assert unanswered > 0
    lost = 5 - sum(row["succeeded"] for row in loaded["rows"])
    fault = "24 hours of waiting, the API away for 3 of them"
    matrix(Row("wait", fault, "all rows", len(batches), len(batches), lost))
