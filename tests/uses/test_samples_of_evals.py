"""What `prefect.yaml` deploys runs as it stands, on the data that comes with the project."""

from __future__ import annotations

import pytest

from tests.support.files import sizes
from tests.support.samples import ROOT, deployment, described

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


async def test_the_nightly_eval_passes_and_then_knows_its_last_run(emulator):
    flow, parameters = deployment("nightly-eval")

    first, second = await flow(**parameters), await flow(**parameters)

    assert sizes(emulator) == [20, 20]
    assert first.passed
    assert first.score >= parameters["threshold"]
    assert second.comparison.change == "no significant difference"
    assert second.comparison.paired.cases == 20


async def test_the_nightly_eval_fails_below_a_threshold_that_is_not_reached(emulator):
    flow, parameters = deployment("nightly-eval")
    other = {"prompt": "{text} [[reply: Hm.]]", "name": "hopeless"}

    state = await flow(**parameters | other, return_state=True)

    assert state.is_failed()
    assert "hopeless: score 0.000" in state.message


async def test_the_ab_test_compares_its_prompts(emulator):
    flow, parameters = deployment("prompt-ab-test")

    report = await flow(**parameters)

    assert sizes(emulator) == [40]
    assert [each.name for each in report.variants] == ["plain", "expert"]
    assert report.winner == ""
    assert report.pairs[0].tokens.cases == 20


@pytest.mark.parametrize("name", ["nightly-eval", "prompt-ab-test"])
def test_a_copied_project_spends_no_money_unasked(name):
    assert not any(schedule["active"] for schedule in described(name).get("schedules", []))
