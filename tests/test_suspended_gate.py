"""The deployed cost gate stores its baseline, passes, and fails, each with a sleep in between."""

from __future__ import annotations

from typing import Any

from tests.support.artifacts import markdown_of
from tests.support.pools import ROOT
from tests.support.stack import Stack

PROMPT = "Is this review of a {product} positive? {text}"


def start(stack: Stack, **options: Any) -> str:
    deployment = stack.deploy("flows/cost_gate.py:cost_gate", directory=ROOT)
    given = {
        "source": "flows/data/reviews.jsonl",
        "baseline": "variable:gate_of_this_test",
        "prompt": f"{PROMPT} [[words 10]]",
        "poll_interval": 10,
    }
    return stack.start(deployment, **{**given, **options})


def rests(stack: Stack, run_id: str) -> int:
    return sum(state.name == "Suspended" for state in stack.states(run_id))


def test_the_baseline_is_in_the_api_and_a_gate_that_fails_is_a_failed_run(worker, emulator):
    early = worker.wait_for_state(start(worker), "Failed")
    assert "There is no baseline in 'variable:gate_of_this_test' yet" in early.state.message
    assert emulator.batches() == []

    stored = start(worker, update_baseline=True)
    worker.finish(stored)
    dearer = start(worker, prompt=f"{PROMPT} [[words 30]]")
    failed = worker.wait_for_state(dearer, "Failed", "Completed", limit=240)

    assert failed.state.name == "Failed"
    assert "flows/data/reviews.jsonl takes more than its baseline" in failed.state.message
    assert "The prompt or the parameters have changed since" in failed.state.message
    assert rests(worker, stored) >= 1
    assert rests(worker, dearer) >= 1
    assert failed.run_count == 1
    assert [batch["requests"] for batch in emulator.batches()] == [12, 12]
    assert markdown_of(worker, stored, "cost-gate").startswith("# Cost gate: baseline stored")
    page = markdown_of(worker, dearer, "cost-gate")
    assert page.startswith("# Cost gate: FAILED")
    assert "## Grew most" in page
