"""What `prefect.yaml` deploys runs as it stands, on the data that comes with the project."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow

from tests.support.files import sizes
from tests.support.jobs import SOON

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)


def deployment(name: str) -> tuple[Flow, dict[str, Any]]:
    """Return the flow of a deployment and its parameters, in a hurry."""
    every = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (found,) = [each for each in every if each["name"] == name]
    path, _, function = found["entrypoint"].partition(":")
    spec = importlib.util.spec_from_file_location(function, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function), found["parameters"] | {"poll_interval": SOON}


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
    every = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (found,) = [each for each in every if each["name"] == name]
    assert not any(schedule["active"] for schedule in found.get("schedules", []))
