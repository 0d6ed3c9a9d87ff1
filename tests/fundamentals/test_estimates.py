"""What a job will cost is known before it is sent: exactly for the input, at most for the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshflow_prefect import AnthropicBatchClient, BatchResult
from meshflow_prefect.bulk.estimate import Estimate, check_budget, estimate
from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.chunking import Limits
from meshflow_prefect.emulator import Emulator
from meshflow_prefect.errors import CredentialsError, OverBudgetError
from meshflow_prefect.pricing import cost_of, total_cost
from meshflow_prefect.sources import Source

MODEL = "claude-opus-5"
MARKED = {"type": "text", "text": "Shared. " * 400, "cache_control": {"type": "ephemeral"}}
FOR_AN_HOUR = {**MARKED, "cache_control": {"type": "ephemeral", "ttl": "1h"}}


@pytest.fixture(scope="module")
def emulator():
    with Emulator(batch_seconds=0.05) as running:
        yield running


def asking(text: str, **params: Any) -> dict[str, Any]:
    base = {"model": MODEL, "max_tokens": 80, "messages": [{"role": "user", "content": text}]}
    return {"params": {**base, **params}}


def spooled(folder: Path, rows: list[Any], **options: Any) -> tuple[Plan, Workplace]:
    source = folder / "rows.jsonl"
    source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    how = Spooling(recipe=Recipe(), suffix="0123456789ab", limits=Limits(), **options)
    place = Workplace(folder / "job")
    return how.write(Source.open(str(source)), place.spool, Progress()), place


def estimated(emulator: Emulator, plan: Plan, place: Workplace) -> Estimate:
    async def ask() -> Estimate:
        async with AnthropicBatchClient("key", base_url=emulator.base_url) as client:
            return await estimate("rows.jsonl", plan, place, client)

    return asyncio.run(ask())


def charged(emulator: Emulator, plan: Plan, place: Workplace) -> tuple[int, float]:
    """Return the input tokens that the API bills, and the US$ of all rows."""

    async def run() -> list[BatchResult]:
        rows = []
        async with AnthropicBatchClient("key", base_url=emulator.base_url) as client:
            for number in range(len(plan.chunks)):
                batch_id = await client.create(place.chunk(plan, number))
                await client.wait(batch_id, 0.05)
                rows += await client.results(batch_id)
        return rows

    emulator.reset()
    cost = total_cost(asyncio.run(run()))
    return sum(each["input_tokens"] for each in emulator.spend().values()), float(cost)


def test_up_to_twenty_requests_are_counted_exactly(emulator, tmp_path):
    plan, place = spooled(tmp_path, [asking("word " * n) for n in (1, 2, 40, 900)])

    found = estimated(emulator, plan, place)
    tokens, cost = charged(emulator, plan, place)

    assert (found.requests, found.counted) == (4, 4)
    assert found.input_tokens == found.most_input_tokens == tokens
    assert found.least_usd == pytest.approx(float(cost_of(MODEL, {"input_tokens": tokens})))
    assert found.least_usd < cost <= found.most_usd
    assert found.most_output_tokens == 4 * 80


def test_the_standard_price_is_twice_that_of_a_batch(emulator, tmp_path):
    found = estimated(emulator, *spooled(tmp_path, [asking("Hello.")]))

    assert found.standard_least_usd == pytest.approx(2 * found.least_usd)
    assert found.standard_most_usd == pytest.approx(2 * found.most_usd)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 500), min_size=21, max_size=60), st.integers(1, 9))
def test_of_more_a_sample_is_counted_and_the_upper_figures_hold(
    emulator, tmp_path_factory, lengths, every
):
    models = [MODEL if n % every else "claude-haiku-4-5" for n in range(len(lengths))]
    rows = [asking("word " * n, model=m) for n, m in zip(lengths, models, strict=True)]
    plan, place = spooled(tmp_path_factory.mktemp("job"), rows)

    found = estimated(emulator, plan, place)
    params = [row["params"] for row in rows]
    tokens = sum(-(-len(each["messages"][0]["content"]) // 4) + 3 for each in params)

    assert found.counted == 20
    assert found.input_tokens <= found.most_input_tokens
    assert tokens == pytest.approx(found.input_tokens, rel=0.5)
    assert found.least_usd <= found.most_usd


def test_the_sample_of_rows_that_repeat_themselves_has_seen_every_kind(emulator, tmp_path):
    # The sample takes one of every ten: only those of one kind, if it took the first of each.
    rows = [asking("word " * 4_000 if n % 2 else "a " * 40) for n in range(200)]
    plan, place = spooled(tmp_path, rows)

    found = estimated(emulator, plan, place)
    tokens, _ = charged(emulator, plan, place)

    assert found == estimated(emulator, plan, place), "the same whenever it is asked for"
    assert found.counted == 20
    assert tokens == pytest.approx(found.input_tokens, rel=0.25)
    assert tokens <= found.most_input_tokens


@pytest.mark.parametrize(
    "rows",
    [
        [asking("[[words 300]] Talk.", max_tokens=200)] * 3,
        [asking(f"Talk of {n}.", system=[MARKED]) for n in range(3)],
        [
            asking(f"Talk of {n}.", system=[{**FOR_AN_HOUR, "text": f"{n} " * 900}])
            for n in range(3)
        ],
        [asking("Talk.", model="claude-haiku-5-5"), *[asking("Talk.")] * 2],
        [asking("word " * n, model="claude-haiku-5-5") for n in (90_000, 1, 1, 1)],
        [asking(f"Talk of {n}.") for n in range(70)],
    ],
    ids=["as long as may be", "cached", "cached for an hour", "models", "a long prompt", "many"],
)
def test_what_is_charged_is_between_the_figures(emulator, tmp_path, rows):
    plan, place = spooled(tmp_path, rows)

    found = estimated(emulator, plan, place)
    _, cost = charged(emulator, plan, place)

    assert found.least_usd <= cost or "cache_control" in str(rows)
    assert cost <= found.most_usd
    check_budget(found, found.most_usd)
    with pytest.raises(OverBudgetError, match="Nothing was submitted"):
        check_budget(found, found.most_usd * 0.999)


def test_equal_requests_that_are_sent_once_are_counted_once(emulator, tmp_path):
    rows = [asking("Hello."), asking("Hello."), asking("Bye."), {"bad": 1}]

    plan, place = spooled(tmp_path, rows, deduplicate=True, on_bad_row="skip")
    found = estimated(emulator, plan, place)

    figures = (found.rows, found.requests, found.duplicates, found.bad_rows, found.counted)
    assert figures == (4, 2, 1, 1, 2)


def test_requests_in_the_us_cost_more(emulator, tmp_path):
    plan, place = spooled(tmp_path, [asking("Hello.", inference_geo="us")])
    (tmp_path / "else").mkdir()
    elsewhere = estimated(emulator, *spooled(tmp_path / "else", [asking("Hello.")]))

    assert estimated(emulator, plan, place).most_usd == pytest.approx(1.1 * elsewhere.most_usd)


def test_where_the_api_does_not_count_the_bytes_are_taken_and_it_is_said(emulator, tmp_path):
    plan, place = spooled(tmp_path, [asking("word " * n) for n in (10, 200)])
    emulator.plan({"on": "count_tokens", "status": 404, "times": None})

    found = estimated(emulator, plan, place)
    emulator.clear_faults()
    tokens, cost = charged(emulator, plan, place)

    assert found.counted == 0
    assert "the API could not count them" in str(found)
    assert tokens <= found.most_input_tokens
    assert cost <= found.most_usd


def test_a_key_that_is_refused_is_an_error(emulator, tmp_path):
    plan, place = spooled(tmp_path, [asking("Hello.")])
    emulator.plan({"on": "count_tokens", "status": 401})

    with pytest.raises(CredentialsError):
        estimated(emulator, plan, place)


def test_a_model_without_a_price_cannot_be_held_to_a_budget(emulator, tmp_path):
    plan, place = spooled(tmp_path, [asking("Hello."), asking("x", model="model-of-tomorrow")])

    found = estimated(emulator, plan, place)

    assert (found.least_usd, found.most_usd) == (None, None)
    assert "of unknown price" in str(found)
    with pytest.raises(OverBudgetError, match="set_price"):
        check_budget(found, 1000.0)


def test_a_job_without_requests_costs_nothing(emulator, tmp_path):
    plan, place = spooled(tmp_path, [{"bad": 1}], on_bad_row="skip")

    found = estimated(emulator, plan, place)

    assert (found.requests, found.batches, found.least_usd, found.most_usd) == (0, 0, 0.0, 0.0)
    check_budget(found, 0.0)
