"""What `prefect.yaml` deploys runs as it stands, on the data that comes with the project."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect import Flow

from tests.support.files import read_rows, sizes
from tests.support.jobs import SOON

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)


def described(name: str) -> dict[str, Any]:
    every = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (found,) = [each for each in every if each["name"] == name]
    return found


def deployment(name: str) -> tuple[Flow, dict[str, Any]]:
    """Return the flow of a deployment and its parameters, in a hurry."""
    found = described(name)
    path, _, function = found["entrypoint"].partition(":")
    spec = importlib.util.spec_from_file_location(function, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function), found["parameters"] | {"poll_interval": SOON}


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


async def test_the_cost_gate_stores_a_baseline_and_passes(emulator):
    flow, parameters = deployment("cost-gate")
    parameters["baseline"] += f"_{uuid4().hex}"

    stored = await flow(**parameters, update_baseline=True)
    found = await flow(**parameters)

    assert stored.updated
    assert found.passed
    assert found.baseline == stored.figures
    assert sizes(emulator) == [12, 12]


async def test_the_documents_are_read_all_but_one(emulator, tmp_path):
    flow, parameters = deployment("bulk-documents")

    summary = await flow(**parameters | {"destination": str(tmp_path / "out.jsonl")})

    rows = read_rows(tmp_path / "out.jsonl")
    assert (summary.rows, summary.succeeded, summary.bad_rows) == (7, 6, 1)
    assert [row["custom_id"] for row in rows if not row["succeeded"]] == ["locked.pdf"]
    assert all(row["parsed"]["currency"] for row in rows if row["succeeded"])
    assert sizes(emulator) == [6]


def test_the_output_of_the_sample_is_not_taken_for_a_document():
    given = described("bulk-documents")["parameters"]
    assert Path(given["source"]) not in Path(given["destination"]).parents


def test_a_copied_project_spends_no_money_unasked():
    for name in ("cost-gate", "bulk-documents"):
        schedules = described(name).get("schedules", [])
        assert not any(schedule["active"] for schedule in schedules)
