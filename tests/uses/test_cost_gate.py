"""A cost gate runs its set, and fails when it takes more than the baseline allows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow

from meshflow_prefect import (
    BadRowsError,
    CostComparison,
    CostGateError,
    DestinationError,
    InvalidRequestError,
    SourceError,
    compare_cost,
)
from meshflow_prefect.uses.stored import load, save
from tests.support.artifacts import markdown_of
from tests.support.files import sizes, write_rows
from tests.support.jobs import SOON

SET = [{"id": f"case-{n}", "topic": f"lamp {n}"} for n in range(6)]
SHORT = "Describe {topic}. [[words 10]]"
LONG = "Describe {topic}. [[words 40]]"


@flow
async def gate(rows: Any, **options: Any) -> CostComparison:
    options = {"prompt": SHORT, "poll_interval": SOON, **options}
    return await compare_cost(rows, **options)


def content(place: str) -> bytes:
    return Path(place).read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "baseline.json")


@pytest.fixture
async def stored(place: str, emulator) -> str:
    """A place with a baseline of `SET`."""
    found = await gate(SET, baseline=place, update_baseline=True)
    assert found.updated
    return place


async def test_the_same_set_passes_and_the_figures_are_the_bill(emulator, stored):
    before = emulator.spend()["claude-haiku-4-5-20251001"]

    found = await gate(SET, baseline=stored)

    after = emulator.spend()["claude-haiku-4-5-20251001"]
    assert found.passed
    assert found.figures == found.baseline
    assert found.figures.cases == 6
    for name in ("input_tokens", "output_tokens"):
        assert getattr(found.figures, name) == after[name] - before[name] > 0
    # Haiku 4.5, in a batch: US$ 0.50 and 2.50 per million tokens.
    cost = found.figures.input_tokens * 0.5e-6 + found.figures.output_tokens * 2.5e-6
    assert found.figures.cost_usd == pytest.approx(cost)
    assert found.figures.standard_cost_usd == pytest.approx(2 * cost)
    assert sizes(emulator) == [6, 6]


async def test_longer_replies_fail_the_gate_and_leave_the_baseline_as_it_is(stored):
    kept = content(stored)

    with pytest.raises(CostGateError, match=r"output tokens .*It grew most in 'case-") as told:
        await gate(SET, baseline=stored, prompt=LONG)

    found = told.value.comparison
    assert [check.name for check in found.checks if not check.passed] == ["cost", "output tokens"]
    assert found.asked_otherwise
    assert len(found.grew) == 6
    assert content(stored) == kept


async def test_a_longer_prompt_fails_the_gate_and_a_tolerance_lets_it_pass(stored):
    system = "Say it plainly, in whole sentences, as one would tell it to a friend. " * 3
    with pytest.raises(CostGateError, match="input tokens"):
        await gate(SET, baseline=stored, system=system)
    found = await gate(SET, baseline=stored, system=system, tolerance=10, token_tolerance=None)
    assert found.passed


async def test_the_case_that_grew_is_told(emulator, stored):
    emulator.plan(
        {"on": "rows", "custom_id": "case-4-*", "outcome": "succeeded", "text": "word " * 400}
    )
    with pytest.raises(CostGateError, match=r"It grew most in 'case-4' \(US\$ \+0\.\d+") as told:
        await gate(SET, baseline=stored)
    assert [each.id for each in told.value.comparison.grew] == ["case-4"]


async def test_failures_fail_the_gate_although_they_cost_nothing(emulator, stored):
    emulator.plan({"on": "rows", "custom_id": "case-2-*", "outcome": "errored", "error": "x_error"})

    with pytest.raises(CostGateError, match=r"failures 1, \+1 from 0, at most 0 allowed") as told:
        await gate(SET, baseline=stored)

    found = told.value.comparison
    assert [check.name for check in found.checks if not check.passed] == ["failures"]
    assert found.figures.cost_usd < found.baseline.cost_usd
    assert (await gate(SET, baseline=stored, failure_tolerance=0.2)).passed


async def test_replies_of_another_form_are_failures_and_cost_what_they_cost(place):
    schema = {
        "type": "object",
        "properties": {"total": {"type": "number"}},
        "required": ["total"],
        "additionalProperties": False,
    }
    asked = {"baseline": place, "output_type": schema, "max_attempts": 2}
    await gate(SET, prompt='{topic} [[reply: {{"total": 1}}]]', update_baseline=True, **asked)

    with pytest.raises(CostGateError, match="failures 6") as told:
        await gate(SET, prompt="{topic} [[reply: no JSON]]", **asked)

    assert told.value.comparison.figures.cost_usd > told.value.comparison.baseline.cost_usd


async def test_an_update_tells_the_difference_and_replaces_the_baseline(stored):
    found = await gate(SET, baseline=stored, prompt=LONG, update_baseline=True)
    assert found.passed
    assert found.checks[2].change > 0.5
    assert (await gate(SET, baseline=stored, prompt=LONG)).passed


async def test_a_baseline_of_anything_is_replaced_when_that_is_asked_for(stored):
    other = await gate(
        SET[:3], baseline=stored, model="claude-opus-5", prompt=LONG, update_baseline=True
    )
    assert other.baseline is None
    assert (await gate(SET[:3], baseline=stored, model="claude-opus-5", prompt=LONG)).passed


async def test_a_file_is_for_people_and_a_variable_has_room_for_the_sums(place, caplog):
    await gate(SET, baseline=place, update_baseline=True)
    value = json.loads(content(place))
    assert value["models"] == ["claude-haiku-4-5-20251001"]
    assert list(value["by_case"]) == [row["id"] for row in SET]

    variable, many = f"variable:gate_{uuid4().hex}", [{"topic": f"lamp {n}"} for n in range(300)]
    await gate(many, baseline=variable, update_baseline=True)
    assert "has no room for 300 cases" in caplog.text
    with pytest.raises(CostGateError) as told:
        await gate(many, baseline=variable, prompt=LONG)
    assert told.value.comparison.grew == ()
    assert (await gate(many, baseline=variable)).passed


async def test_sets_of_every_kind_are_read(emulator, place, tmp_path):
    asked = [{"id": "a", "messages": [{"role": "user", "content": "Hello."}]}]
    own = [{"custom_id": "a", "params": {"model": "claude-opus-5", "max_tokens": 9, **asked[0]}}]
    del own[0]["params"]["id"]
    (tmp_path / "set.csv").write_text("id,prompt\nx,Hello.\ny,Good morning.\n")
    for rows, count, model in (
        (write_rows(tmp_path / "asked.jsonl", asked), 1, "claude-haiku-4-5-20251001"),
        (write_rows(tmp_path / "own.jsonl", own), 1, "claude-opus-5"),
        (tmp_path / "set.csv", 2, "claude-haiku-4-5-20251001"),
    ):
        found = await gate(rows, baseline=place, prompt=None, update_baseline=True)
        assert (found.figures.cases, found.models) == (count, (model,))
        assert (await gate(rows, baseline=place, prompt=None)).passed


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        (
            {"rows": SET[:5]},
            InvalidRequestError,
            r"of another set: of 6 cases, and 5 rows has 5 \(gone: 'case-5'\)\.",
        ),
        (
            {"rows": [*SET[:1], *[{"id": f"x{n}", "topic": "y"} for n in range(5)]]},
            InvalidRequestError,
            r"\(new: 'x0', 'x1', 'x2' and 2 more; gone: 'case-1', 'case-2', 'case-3' and 2 more\)",
        ),
        (
            {"rows": [{**row, "topic": "another"} for row in SET]},
            InvalidRequestError,
            "has 6 .the same ids, in another order or with other values",
        ),
        (
            {"model": "claude-opus-5"},
            InvalidRequestError,
            "is of claude-haiku-4-5-20251001, and this run asks claude-opus-5. Nothing was sub",
        ),
        ({"baseline": "{folder}/none.json"}, InvalidRequestError, "no baseline in .*none.json' ye"),
        ({"baseline": "{folder}/other.json"}, InvalidRequestError, "something else than a cost"),
        ({"baseline": "{folder}/broken.json"}, SourceError, "is not JSON"),
        ({"baseline": "{folder}/x.yaml"}, InvalidRequestError, r"a \.json file, or variable:NAME"),
        ({"tolerance": -1}, InvalidRequestError, "tolerance: expected a share from 0"),
        ({"model": "model-of-tomorrow"}, InvalidRequestError, "the price of 'model-of-tomorrow'"),
        ({"rows": []}, SourceError, "no rows"),
        ({"rows": "{folder}/none.jsonl"}, SourceError, "no such file or folder"),
        ({"prompt": "{other}"}, BadRowsError, "row 0: column 'other' is missing"),
        ({"prompt": "{"}, InvalidRequestError, "The template, line 1"),
        ({"output_type": {"type": "object"}}, InvalidRequestError, "output_type: "),
        ({"max_tokens": 0}, InvalidRequestError, "max_tokens"),
        ({"name": "Two Words"}, InvalidRequestError, "name: "),
    ],
)
async def test_what_is_wrong_is_told_before_anything_is_sent(
    emulator, stored, tmp_path, options, error, why
):
    await save(str(tmp_path / "other.json"), {"score": 1})
    (tmp_path / "broken.json").write_text("{")
    given: dict[str, Any] = {"rows": SET, "baseline": stored, **options}
    for name in ("rows", "baseline"):
        if isinstance(given[name], str):
            given[name] = given[name].replace("{folder}", str(tmp_path))
    rows = given.pop("rows")
    made = len(emulator.batches())

    with pytest.raises(error, match=why):
        await gate(rows, **given)

    assert len(emulator.batches()) == made


@pytest.mark.parametrize("held", [b'{"score": 1}\n', None])
async def test_an_update_replaces_nothing_but_a_baseline_and_is_sure_of_its_place(
    emulator, tmp_path, held
):
    place = tmp_path / "folder" / "baseline.json"
    if held is None:
        (tmp_path / "folder").touch()
    else:
        place.parent.mkdir()
        place.write_bytes(held)
    with pytest.raises((InvalidRequestError, DestinationError)):
        await gate(SET, baseline=str(place), update_baseline=True)
    assert emulator.batches() == []
    if held is not None:
        assert place.read_bytes() == held


async def test_a_run_without_any_reply_is_no_baseline(emulator, stored):
    emulator.plan({"on": "rows", "outcome": "errored", "error": "not_found_error"})
    kept = content(stored)
    with pytest.raises(CostGateError, match="None of the 6 cases has a reply"):
        await gate(SET, baseline=stored, update_baseline=True)
    assert content(stored) == kept


async def test_a_model_without_a_price_is_compared_by_its_tokens(place):
    asked = {"baseline": place, "model": "claude-mythos-5", "tolerance": None}
    await gate(SET, update_baseline=True, **asked)
    assert (await gate(SET, **asked)).figures.cost_usd is None
    with pytest.raises(CostGateError, match="output tokens"):
        await gate(SET, prompt=LONG, **asked)


async def test_a_baseline_without_a_cost_is_no_baseline_for_a_cost(emulator, stored):
    value = await load(stored)
    value["figures"]["cost_usd"] = None
    await save(stored, value)
    with pytest.raises(InvalidRequestError, match="was stored without a cost"):
        await gate(SET, baseline=stored)
    assert sizes(emulator) == [6]


def failing_once(fails: Callable[[], object], **options: Any) -> Any:
    attempts: list[int] = []

    @flow(retries=1)
    async def outer() -> CostComparison:
        attempts.append(1)
        found = await compare_cost(SET, prompt=SHORT, poll_interval=SOON, **options)
        if len(attempts) == 1:
            fails()
        return found

    return outer


async def test_a_gate_that_fails_and_is_retried_pays_nothing_and_fails_again(emulator, stored):
    @flow(retries=1)
    async def outer() -> None:
        await compare_cost(SET, baseline=stored, prompt=LONG, poll_interval=SOON)

    with pytest.raises(CostGateError, match="output tokens"):
        await outer()
    assert sizes(emulator) == [6, 6]


async def test_a_run_that_fails_after_the_update_is_retried_without_a_new_batch(
    stack, emulator, place
):
    def fails() -> None:
        raise RuntimeError("The flow fails after its gate.")

    state = await failing_once(fails, baseline=place, update_baseline=True)(return_state=True)

    assert state.is_completed()
    assert sizes(emulator) == [6]
    assert (await load(place))["run_id"] == str(state.state_details.flow_run_id)
    page = markdown_of(stack, state.state_details.flow_run_id, "cost-gate")
    assert page.startswith("# Cost gate: baseline stored")


async def test_a_key_pays_once_over_several_runs(emulator, stored, request):
    for _ in range(2):
        await gate(SET, baseline=stored, job_key=request.node.name)
    assert sizes(emulator) == [6, 6]


async def test_the_artifact_of_a_failed_gate_has_the_figures(stack, stored):
    state = await gate(SET, baseline=stored, prompt=LONG, return_state=True)
    assert state.is_failed()
    assert "takes more than its baseline" in state.message
    page = markdown_of(stack, state.state_details.flow_run_id, "cost-gate")
    assert page.startswith("# Cost gate: FAILED")
    assert "TOO MUCH" in page
    assert "## Grew most" in page


async def test_two_gates_of_one_flow_at_once(stack, emulator, stored):
    @flow
    async def both() -> list[CostComparison]:
        options = {"baseline": stored, "poll_interval": SOON}
        return await asyncio.gather(
            compare_cost(SET, prompt=SHORT, name="one", **options),
            compare_cost(SET, prompt=SHORT, name="two", **options),
        )

    state = await both(return_state=True)

    assert all(found.passed for found in await state.result())
    assert sizes(emulator) == [6, 6, 6]
    for name in ("cost-one", "cost-two"):
        page = markdown_of(stack, state.state_details.flow_run_id, name)
        assert page.startswith("# Cost gate: passed")
