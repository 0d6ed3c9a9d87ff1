"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "use-cases"

# The examples wait for as long as users do: have their batches ended at the first check.
pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)


def names_of(page: str) -> dict:
    (source,) = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.M)
    names: dict = {"__name__": "docs"}
    exec(compile(source, page, "exec"), names)
    return names


async def test_the_nightly_eval(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    report = await names_of("nightly-eval.md")["colours"]()

    assert report.cases == 2
    assert (tmp_path / "evals" / "colours.json").exists()
    # The emulator's replies are canned: they quote the question.
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["sky", "grass"]


async def test_the_ab_test(capsys):
    report = await names_of("prompt-ab-test.md")["which_prompt"]()

    assert [each.name for each in report.variants] == ["plain", "brief"]
    assert "No significant difference between 'plain' and 'brief'" in capsys.readouterr().out
