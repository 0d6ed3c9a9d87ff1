"""The Python snippets of two use cases run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from meshflow_prefect import CostGateError
from tests.support.files import read_rows

DOCS = Path(__file__).parents[1] / "docs" / "use-cases"
DOCUMENTS = Path(__file__).parents[1] / "flows" / "data" / "documents"

# They wait for as long as users do: have their batches ended at the first check.
pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)


def snippet(name: str) -> dict[str, Any]:
    (source,) = re.findall(r"^```python\n(.*?)^```", (DOCS / name).read_text(), re.M | re.S)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(source, name, "exec"), names)
    return names


async def test_the_cost_gate(stack, anthropic_emulator, capsys):
    check = snippet("cost-gate.md")["release_check"]
    rows = [{"id": f"r-{n}", "product": "lamp", "text": f"Bright {n}."} for n in range(3)]

    assert (await check(rows, update_baseline=True)).updated
    assert (await check(rows)).passed
    anthropic_emulator.plan(
        {"on": "rows", "custom_id": "case-1-*", "outcome": "succeeded", "text": "word " * 300}
    )
    with pytest.raises(CostGateError):
        await check(rows)
    assert "[('r-1', 0.0" in capsys.readouterr().out


async def test_bulk_documents(stack, anthropic_emulator, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    summary = await snippet("bulk-documents.md")["read_bills"](str(DOCUMENTS))

    assert (summary.succeeded, summary.bad_rows) == (6, 1)
    assert "locked.pdf: it is encrypted; save it without a password" in capsys.readouterr().out
    parsed = [row["parsed"] for row in read_rows(tmp_path / "bills.jsonl") if row["succeeded"]]
    assert all(bill.keys() == {"sender", "total", "currency"} for bill in parsed)
