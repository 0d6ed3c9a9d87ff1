"""Evals and A/B tests, deployed as `prefect.yaml` does: no process while Anthropic works."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.variables import Variable

from tests.support.evals import JUDGE, PROMPTS, ab_rows, case, pages_of, verdict
from tests.support.files import sizes, write_rows
from tests.support.stack import Stack

FLOWS = Path(__file__).parents[1] / "flows"


def started(stack: Stack, name: str, /, **parameters: Any) -> str:
    entrypoint = f"{name.replace('-', '_')}.py:{name.replace('-', '_')}"
    deployment = stack.deploy(entrypoint, flow_name=name, directory=FLOWS)
    return stack.start(deployment, poll_interval=10, **parameters)


def times_suspended(stack: Stack, run: FlowRun) -> int:
    return [state.name for state in stack.states(str(run.id))].count("Suspended")


def test_an_eval_suspends_for_replies_and_verdicts_and_fails_below_the_threshold(
    worker, emulator, tmp_path
):
    rows = [case(n, "yes", rubric=f"Be kind. {verdict(1 + 4 * (n % 2))}") for n in range(6)]
    source = write_rows(tmp_path / "cases.jsonl", rows)
    given = {"grader": "judge", "judge_model": JUDGE, "name": "deployed", "threshold": 0.8}
    history = "variable:deployed_eval"

    run_id = started(worker, "nightly-eval", dataset=source, history=history, **given)
    run = worker.wait_for_state(run_id, "Failed", "Completed", "Crashed", limit=240)

    assert run.state.name == "Failed", worker.logs(run_id)
    assert "deployed: score 0.500 (" in run.state.message
    assert "3 of 6 cases passed" in run.state.message
    assert "below the threshold of 0.8" in run.state.message
    assert sizes(emulator) == [6, 6]
    assert (times_suspended(worker, run), run.run_count) == (2, 1)
    (kept,) = Variable.get("deployed_eval", _sync=True)["eval_runs"]
    assert (kept["run_id"], kept["score"], kept["passed"]) == (run_id, 0.5, False)
    (page,) = pages_of(worker, run_id)
    assert page.key == "eval-deployed"
    assert "# deployed: 0.500, **below the threshold**" in page.data


def test_an_ab_test_suspends_once_for_all_variants_and_says_which_is_better(
    worker, emulator, tmp_path
):
    rows = ab_rows(random.Random(7), 20, plainly=0.2, carefully=1.0)
    source = write_rows(tmp_path / "cases.jsonl", rows)

    run_id = started(worker, "prompt-ab-test", variants=PROMPTS, dataset=source, name="deployed")
    run = worker.finish(run_id)

    assert sizes(emulator) == [40]
    assert (times_suspended(worker, run), run.run_count) == (1, 1)
    (page,) = pages_of(worker, run_id)
    assert "# deployed: careful is best" in page.data
    assert "'careful' is better than 'plain': it wins" in page.data
