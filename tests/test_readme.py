"""Every Python snippet of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)

# The snippets wait for as long as users do: have their batches ended at the first check.
pytestmark = pytest.mark.anthropic_emulator(batch_seconds=0.001)


def run(containing: str) -> dict:
    (source,) = [snippet for snippet in SNIPPETS if containing in snippet]
    names: dict = {"__name__": "readme"}
    exec(compile(source, "README.md", "exec"), names)
    return names


def test_no_snippet_is_left_out():
    assert len(SNIPPETS) == 7


async def test_the_pipeline(stack, anthropic_emulator, capsys):
    await run("def nightly")["nightly"]()

    printed = capsys.readouterr().out.splitlines()
    assert [line.rpartition("-")[0] for line in (p.split()[0] for p in printed)] == [
        "task-0",
        "task-1",
    ]
    assert len(anthropic_emulator.batches()) == 1


async def test_the_building_blocks(stack, anthropic_emulator):
    results = await run("def composed")["composed"]()

    assert [result.custom_id for result in results] == ["poem", "sum"]
    assert all(result.succeeded for result in results)


async def test_files(stack, anthropic_emulator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews").mkdir()
    rows = '{"product": "lamp", "text": "Bright."}\n' * 3 + "no JSON\n"
    (tmp_path / "reviews" / "1.jsonl").write_text(rows)

    summary = await run("def summarise_reviews")["summarise_reviews"]()

    assert dict(summary.statuses) == {"succeeded": 3, "errored": 1}
    assert [batch["requests"] for batch in anthropic_emulator.batches()] == [1]
    assert (tmp_path / "summaries.parquet").exists()


async def test_structured_output(stack, anthropic_emulator):
    names = run("class Invoice")

    read = await names["read_invoices"](["Invoice 7: 12.50", "Invoice 8: 30.00"])

    assert len(read) == 2
    assert all(isinstance(invoice, names["Invoice"]) for invoice in read)


async def test_the_client_without_prefect(anthropic_emulator, capsys):
    await run("def ask")["ask"]()

    output, cost = capsys.readouterr().out.strip().rsplit(" ", 1)
    assert output
    assert float(cost) > 0


def test_saving_the_key(stack):
    run("overwrite=True")

    from meshflow_prefect import AnthropicCredentials

    saved = AnthropicCredentials.load("production", _sync=True)
    assert saved.api_key.get_secret_value() == "sk-ant-…"


async def test_the_fixture_for_users_own_tests(stack, anthropic_emulator):
    await run("pytest_plugins")["test_it"](anthropic_emulator)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_both_commands_exist(target):
    makefile = (README.parent / "Makefile").read_text()
    assert f"$ make {target} " in README.read_text()
    assert re.search(rf"^{target}: install", makefile, re.MULTILINE)
