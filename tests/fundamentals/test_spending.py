"""Requests, tokens and money add up, over all attempts."""

from __future__ import annotations

from meshflow_prefect import BatchResult, total_cost
from meshflow_prefect.attempts import merge
from meshflow_prefect.uses.spending import Spending
from tests.support.results import failed, replied


def test_what_was_billed_is_added_up_and_failed_requests_cost_nothing():
    results = [replied("a"), replied("b", input_tokens=100), failed("c")]
    spent = Spending.of(results)

    assert (spent.requests, spent.input_tokens, spent.output_tokens) == (3, 110, 10)
    assert spent.tokens == 120
    assert spent.cost_usd == float(total_cost(results))
    assert spent.cost_per_request == spent.cost_usd / 3


def test_further_attempts_count():
    twice = merge([replied("a")], [replied("a")])
    assert Spending.of(twice).tokens == 30
    assert Spending.of(twice).requests == 1


def test_sums_are_exact_and_an_unknown_cost_stays_unknown():
    one, other = Spending.of([replied("a")]), Spending.of([replied("b")])
    assert one + other == Spending.of([replied("a"), replied("b")])
    unknown = Spending.of([BatchResult("c", "succeeded", cost_usd=None)])
    assert (one + unknown).cost_usd is None
    assert unknown.cost == "US$ unknown"
    assert Spending().cost_per_request is None
    assert one.to_dict()["tokens"] == 15
