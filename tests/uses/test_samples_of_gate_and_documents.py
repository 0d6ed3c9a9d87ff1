"""What `prefect.yaml` deploys runs as it stands, on the data that comes with the project."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.files import read_rows, sizes
from tests.support.samples import ROOT, deployment, described

pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)


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
