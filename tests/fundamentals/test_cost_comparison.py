"""A run is held against its baseline: which limits hold, which cases grew, and how that is told."""

from __future__ import annotations

import pickle
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.serializers import JSONSerializer, PickleSerializer

from meshflow_prefect import BatchResult, CostGateError, InvalidRequestError
from meshflow_prefect.uses.cost_comparison import CostComparison, compare
from meshflow_prefect.uses.cost_figures import CaseCost, CostBaseline, CostFigures, digest_of
from meshflow_prefect.uses.cost_limits import Tolerances
from meshflow_prefect.uses.cost_page import page_of

PLACE = "baseline.json"


def run(*costs: tuple[int, int, float | None], failed: int = 0, asked: str = "a") -> CostBaseline:
    """Return a run of cases that took so many tokens in and out, and US$."""
    known = [cost for _, _, cost in costs if cost is not None]
    return CostBaseline(
        models=("claude-opus-5",),
        set_digest="s",
        asked_digest=asked,
        figures=CostFigures(
            cases=len(costs),
            failed=failed,
            input_tokens=sum(each[0] for each in costs),
            output_tokens=sum(each[1] for each in costs),
            cost_usd=sum(known) if len(known) == len(costs) else None,
            standard_cost_usd=2 * sum(known),
        ),
        by_case={f"case-{n}": CaseCost(*cost) for n, cost in enumerate(costs)},
        made_at="2026-11-24T02:00:00+00:00",
        run_id="r",
    )


def compared(before: CostBaseline | None, now: CostBaseline, **given: Any) -> CostComparison:
    updated = given.pop("updated", False)
    return compare(
        before, now, Tolerances(**given), source="'set.jsonl'", place=PLACE, updated=updated
    )


def failed(found: CostComparison) -> list[str]:
    return [check.name for check in found.checks if not check.passed]


def test_the_same_run_passes_without_any_tolerance():
    found = compared(run((10, 5, 0.1)), run((10, 5, 0.1)), cost=0, tokens=0)
    assert found.passed
    assert [check.change for check in found.checks[:3]] == [0.0, 0.0, 0.0]
    assert found.grew == ()
    found.raise_if_failed()


def test_a_tenth_more_is_a_tenth_more_in_floating_point_too():
    assert compared(run((100, 10, 0.1)), run((110, 11, 0.11)), cost=0.1, tokens=0.1).passed
    assert failed(compared(run((100, 10, 0.1)), run((110, 11, 0.1101)))) == ["cost"]


@pytest.mark.parametrize(
    ("now", "which"),
    [
        (run((100, 50, 0.3)), ["cost"]),
        (run((200, 50, 0.2)), ["input tokens"]),
        (run((100, 90, 0.2)), ["output tokens"]),
        (run((100, 50, 0.2), failed=1), ["failures"]),
        (run((1, 1, 0.01)), []),
    ],
)
def test_each_limit_holds_by_itself(now, which):
    before = run((100, 50, 0.2))
    assert failed(compared(before, now)) == which
    assert compared(before, now, cost=None, tokens=None, failures=None).passed


def test_a_limit_in_words_is_one_that_is_allowed():
    (_, tokens, *_) = compared(run((146, 5, 0.1)), run((161, 5, 0.1))).checks
    assert (tokens.passed, tokens.limit) == (False, "160")


def test_failures_are_a_share_of_all_cases_beyond_those_of_the_baseline():
    cases = [(1, 1, 0.1)] * 40
    before = run(*cases, failed=1)
    assert compared(before, run(*cases, failed=3), failures=0.05).passed
    assert failed(compared(before, run(*cases, failed=4), failures=0.05)) == ["failures"]
    with pytest.raises(InvalidRequestError, match="a share from 0 to 1"):
        compared(before, run(*cases, failed=3), failures=2.0)


def test_a_cost_that_is_not_known_passes_no_limit():
    before, now = run((1, 1, 0.1)), run((1, 1, None))
    assert failed(compared(before, now)) == ["cost"]
    assert compared(before, now, cost=None).passed
    assert "US$" not in str(compared(before, now).checks[0].figure(None))


def test_from_nothing_every_growth_is_too_much():
    found = compared(run((1, 0, 0.0)), run((1, 3, 0.0)))
    assert failed(found) == ["output tokens"]
    assert found.checks[2].change is None
    assert found.checks[2].change_in_words == "+3"


def test_the_cases_that_grew_most_are_told_first_and_not_all_of_them():
    before = run(*[(10, 10, 0.01)] * 30, (5, 5, 0.5))
    now = run(*[(10, 10 + n, 0.01 + n / 1000) for n in range(30)], (1, 1, 0.1))
    found = compared(before, now)
    assert [each.id for each in found.grew] == [f"case-{29 - n}" for n in range(10)]
    assert found.grew[0].usd == pytest.approx(0.029)
    assert found.grew[0].tokens == 29


def test_cases_without_a_price_are_told_by_their_tokens():
    found = compared(run((1, 1, None), (1, 1, None)), run((1, 2, None), (1, 9, None)), cost=None)
    assert [each.id for each in found.grew] == ["case-1", "case-0"]


def test_the_error_holds_the_figures_and_survives_pickling():
    found = compared(run((100, 50, 0.2)), run((100, 90, 0.3), asked="b"))
    with pytest.raises(CostGateError) as told:
        found.raise_if_failed()

    assert told.value.message == (
        "'set.jsonl' takes more than its baseline in 'baseline.json' allows: cost US$ 0.300000, "
        "+50.0 % from US$ 0.200000, at most US$ 0.220000 allowed; output tokens 90, +80.0 % from "
        "50, at most 55 allowed. It grew most in 'case-0' (US$ +0.100000, +40 tokens). The prompt "
        "or the parameters have changed since. If that is meant, run it with update_baseline "
        "(--update-baseline)."
    )
    assert pickle.loads(pickle.dumps(told.value)).comparison == found


def test_an_update_passes_whatever_it_costs():
    found = compared(run((1, 1, 0.1)), run((9, 9, 0.9)), updated=True)
    assert failed(found)
    assert found.passed
    found.raise_if_failed()
    assert "Stored as the baseline in 'baseline.json'" in str(found)


@pytest.mark.parametrize("serializer", [JSONSerializer(), PickleSerializer()])
@pytest.mark.parametrize("before", [None, run((10, 5, 0.1))])
def test_a_comparison_survives_what_prefect_stores_results_with(serializer, before):
    found = compared(before, run((10, 6, 0.2)))
    assert serializer.loads(serializer.dumps(found)) == found


def test_a_comparison_is_json_for_those_who_go_on_with_it():
    values = orjson.loads(orjson.dumps(compared(run((10, 5, 0.1)), run((10, 6, 0.2))).to_dict()))
    assert values["passed"] is False
    assert [check["name"] for check in values["checks"]] == [
        "cost", "input tokens", "output tokens", "failures",
    ]  # fmt: skip
    assert values["grew"] == [
        {
            "id": "case-0",
            "usd": 0.1,
            "tokens": 1,
            "before": {"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.1},
            "now": {"input_tokens": 10, "output_tokens": 6, "cost_usd": 0.2},
        }
    ]


def test_the_page_has_a_table_of_the_figures_and_one_of_the_cases():
    page = page_of(compared(run((100, 50, 0.2)), run((100, 90, 0.3))))
    assert page.startswith("# Cost gate: FAILED\n")
    assert "| cost | US$ 0.200000 | US$ 0.300000 | +50.0 % | US$ 0.220000 | TOO MUCH |" in page
    assert "| at standard price | US$ 0.400000 | US$ 0.600000 |" in page
    assert "| input tokens | 100 | 100 | +0.0 % | 110 | ok |" in page
    assert "| failures | 0 | 0 | +0 | 0 | ok |" in page
    assert "| case-0 | US$ 0.200000 | US$ 0.300000 | 150 | 190 |" in page


def test_the_page_without_a_baseline_has_the_figures():
    page = page_of(compared(None, run((100, 50, 0.2)), updated=True))
    assert page.startswith("# Cost gate: baseline stored\n")
    assert "| cost | US$ 0.200000 |" in page
    assert "| output tokens | 50 |" in page


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["cost", "tokens", "failures"])
def test_what_is_no_share_is_refused(name, value):
    with pytest.raises(InvalidRequestError, match="tolerance: expected a share from 0"):
        Tolerances(**{name: value})


COSTS = st.lists(
    st.tuples(st.integers(0, 9_999), st.integers(0, 9_999), st.floats(0, 9) | st.none()),
    min_size=1,
    max_size=5,
)


@given(COSTS, st.text(max_size=5))
def test_a_baseline_is_read_back_as_it_was_stored(costs, asked):
    baseline = run(*costs, asked=asked)
    value = orjson.loads(orjson.dumps(baseline.to_dict()))
    assert CostBaseline.of(value, PLACE) == baseline
    without = CostBaseline.of(baseline.to_dict(by_case=False), PLACE)
    assert (without.by_case, without.figures) == ({}, baseline.figures)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda value: [1], "holds something else than a cost baseline; it is left as it is"),
        (lambda value: {"score": 1}, "holds something else"),
        (lambda value: value | {"version": 2}, "of version 2, and this meshflow-prefect reads"),
        (lambda value: value | {"figures": {}}, "the baseline is damaged"),
        (lambda value: value | {"by_case": {"a": [1]}}, "the baseline is damaged"),
        (lambda value: value | {"by_case": []}, "the baseline is damaged"),
    ],
)
def test_what_is_no_baseline_is_an_error_that_names_the_place(change, why):
    with pytest.raises(InvalidRequestError, match=f"'baseline.json'.*{why}"):
        CostBaseline.of(change(run((1, 1, 0.1)).to_dict()), PLACE)


def test_the_figures_are_the_sums_over_all_attempts():
    usage = {"input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": 2}
    results = [
        BatchResult("a", "succeeded", cost_usd=0.1, model="claude-opus-5", usage=usage),
        BatchResult(
            "b", "succeeded", cost_usd=0.2, model="claude-opus-5", usage=usage,
            attempts=2, earlier_usage=[usage],
        ),
        BatchResult("c", "errored", error_type="api_error"),
        BatchResult("d", "missing", cost_usd=None),
    ]  # fmt: skip
    figures = CostFigures.of(results)
    assert (figures.cases, figures.failed) == (4, 2)
    assert (figures.input_tokens, figures.output_tokens) == (36, 12)
    assert figures.cost_usd == 0.3
    assert CostFigures.of([*results, BatchResult("e", "succeeded", cost_usd=None)]).cost_usd is None


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
