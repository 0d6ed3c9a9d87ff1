"""The cost of a reply is what Anthropic bills for its usage, at the batch price."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchResult, InvalidRequestError, own_prices, set_price, total_cost
from meshflow_prefect.pricing import cost_of

MILLION = 1_000_000
SMALL = 10_000  # tokens: below the prompt length from which some models cost more


@pytest.fixture
def price(monkeypatch):
    """`set_price`, forgotten at the end of the test."""
    monkeypatch.setattr(own_prices, "_overrides", {})
    return set_price


@pytest.fixture
def environment(monkeypatch):
    """Sets MESHFLOW_PRICES for this process, which else reads it once."""

    def hold(text: str) -> None:
        monkeypatch.setenv("MESHFLOW_PRICES", text)
        own_prices.configured_prices.cache_clear()

    yield hold
    monkeypatch.undo()
    own_prices.configured_prices.cache_clear()


def usage(*, write_5m: int = 0, write_1h: int = 0, searches: int = 0, **more: object) -> dict:
    """A usage object as the API sends it."""
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_read_input_tokens": 0,
        "cache_creation": {
            "ephemeral_5m_input_tokens": write_5m,
            "ephemeral_1h_input_tokens": write_1h,
        },
        "server_tool_use": {"web_search_requests": searches} if searches else None,
        **more,
    }


def test_a_live_bill():
    bill = usage(input_tokens=13_333, output_tokens=203, searches=1)
    assert round(cost_of("claude-opus-5", bill), 5) == Decimal("0.04587")


@pytest.mark.parametrize(
    ("model", "per_million"),
    [
        ("claude-haiku-4-5-20251001", ("1", "5", "1.25", "2", "0.10")),
        ("claude-haiku-4-5", ("1", "5", "1.25", "2", "0.10")),
        ("claude-haiku-5-5", ("0.10", "0.50", "0.125", "0.20", "0.01")),
        ("claude-sonnet-4-5", ("3", "15", "3.75", "6", "0.30")),
        ("claude-sonnet-4-6", ("3", "15", "3.75", "6", "0.30")),
        ("claude-sonnet-5", ("2", "10", "2.50", "4", "0.20")),
        ("claude-sonnet-5-5", ("2", "10", "2.50", "4", "0.10")),
        ("claude-opus-4-5", ("5", "25", "6.25", "10", "0.50")),
        ("claude-opus-5", ("5", "25", "6.25", "10", "0.50")),
        ("claude-opus-5-5", ("4", "20", "5", "8", "0.20")),
        ("claude-fable-5-1", ("10", "50", "12.5", "20", "0.25")),
        ("claude-fable-5-2", ("8", "40", "10", "16", "0.20")),
    ],
)
def test_a_batch_costs_half_of_the_price_list(model, per_million):
    kinds = (
        usage(input_tokens=SMALL),
        usage(output_tokens=SMALL),
        usage(write_5m=SMALL),
        usage(write_1h=SMALL),
        usage(cache_read_input_tokens=SMALL),
    )
    for kind, listed in zip(kinds, per_million, strict=True):
        full = Decimal(listed) * SMALL / MILLION
        assert cost_of(model, kind, tier="standard") == full
        assert cost_of(model, kind) == full / 2


@pytest.mark.parametrize(
    ("cached", "uncached", "per_million"),
    [(0, 100_000, "0.10"), (0, 100_001, "0.50")],
)
def test_a_long_prompt_costs_more_where_the_model_says_so(cached, uncached, per_million):
    bill = usage(input_tokens=uncached, cache_read_input_tokens=cached)
    assert cost_of("claude-haiku-5-5", bill) == Decimal(per_million) * uncached / MILLION / 2


def test_cached_tokens_count_for_the_length_of_the_prompt():
    bill = usage(input_tokens=1, cache_read_input_tokens=100_000, output_tokens=10)
    expected = (Decimal("0.50") * 1 + Decimal("0.05") * 100_000 + Decimal("2.50") * 10) / MILLION
    assert cost_of("claude-haiku-5-5", bill) == expected / 2


def test_inference_in_the_us_costs_a_tenth_more_and_searches_do_not():
    bill = usage(input_tokens=SMALL, output_tokens=SMALL)
    plain = cost_of("claude-opus-5", bill)

    assert cost_of("claude-opus-5", bill | {"inference_geo": "us"}) == plain * Decimal("1.1")
    assert cost_of("claude-opus-5", bill | {"inference_geo": "global"}) == plain
    searching = usage(searches=3, inference_geo="us")
    assert cost_of("claude-opus-5", searching) == Decimal("0.03")


def test_cache_writes_without_their_duration_are_of_five_minutes():
    bill = {"cache_creation_input_tokens": SMALL, "cache_creation": None}
    assert cost_of("claude-opus-5", bill) == Decimal("6.25") * SMALL / MILLION / 2


def test_the_price_of_an_unknown_model_is_none():
    assert cost_of("claude-of-tomorrow", usage(input_tokens=1, searches=1)) is None


def test_a_model_that_the_library_lacks_can_be_priced(price):
    price("claude-of-tomorrow", input=10, output=50.5)

    def cost(**counts: int) -> Decimal:
        return cost_of("claude-of-tomorrow", usage(**counts)) * MILLION * 2

    assert cost(input_tokens=SMALL) == 10 * SMALL
    assert cost(output_tokens=SMALL) == Decimal("50.5") * SMALL
    # Anthropic's usual multiples of the input price.
    assert cost(write_5m=SMALL) == Decimal("12.5") * SMALL
    assert cost(write_1h=SMALL) == 20 * SMALL
    assert cost(cache_read_input_tokens=SMALL) == 1 * SMALL


def test_a_price_of_ones_own_wins_over_the_library_and_has_the_same_extras(price):
    price("claude-opus-5", input=1, output=1, cache_write_5m=2, cache_write_1h=3, cache_read=0)

    bill = usage(
        input_tokens=1,
        output_tokens=1,
        write_5m=1,
        write_1h=1,
        cache_read_input_tokens=1,
        searches=1,
        inference_geo="us",
    )

    tokens = Decimal(1 + 1 + 2 + 3 + 0) / MILLION / 2 * Decimal("1.1")
    assert cost_of("claude-opus-5", bill) == tokens + Decimal("0.01")


@pytest.mark.parametrize(
    "wrong", [{"input": -1}, {"output": float("nan")}, {"cache_read": float("inf")}]
)
def test_a_price_that_is_no_price_is_refused(price, wrong):
    (name,) = wrong
    with pytest.raises(InvalidRequestError, match=f"'mine': {name}: must be"):
        price("mine", **{"input": 1, "output": 1, **wrong})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "MESHFLOW_PRICES: not JSON"),
        ("[1]", "MESHFLOW_PRICES: expected US$ per million tokens for each model"),
        ('{"mine": 3}', "MESHFLOW_PRICES: expected US$ per million tokens for each model"),
        ('{"mine": {"input": 1}}', "'mine': output: is missing"),
        ('{"mine": {"input": 1, "output": "2"}}', "'mine': output: expected a number, got '2'"),
        ('{"mine": {"input": 1, "output": true}}', "'mine': output: expected a number, got True"),
        ('{"mine": {"input": 1, "output": -2}}', "'mine': output: must be 0 or more, got -2"),
        ('{"mine": {"input": 1, "output": 2, "searches": 1}}', "'mine': searches: no kind of"),
    ],
)
def test_prices_of_the_environment_that_are_none_are_refused(environment, text, said):
    environment(text)

    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        cost_of("mine", usage(input_tokens=1))


def test_prices_of_the_environment_win_over_the_list_and_set_price_over_both(environment, price):
    environment('{"claude-opus-5": {"input": 2, "output": 4, "cache_read": 1}}')
    bill = usage(input_tokens=SMALL, cache_read_input_tokens=SMALL, write_1h=SMALL)

    assert cost_of("claude-opus-5", bill) == Decimal(2 + 1 + 4) * SMALL / MILLION / 2
    price("claude-opus-5", input=20, output=4)
    assert cost_of("claude-opus-5", bill) == Decimal(20 + 2 + 40) * SMALL / MILLION / 2


def test_the_sum_of_many_fractions_of_a_cent_is_exact():
    costs = [
        cost_of("claude-haiku-4-5", usage(input_tokens=n, output_tokens=7)) for n in range(10_000)
    ]
    rows = [BatchResult(str(n), "succeeded", cost_usd=float(cost)) for n, cost in enumerate(costs)]

    assert total_cost(rows) == sum(costs)


def test_the_sum_with_one_unknown_cost_is_not_known():
    rows = [
        BatchResult("a", "succeeded", cost_usd=1.0),
        BatchResult("b", "succeeded", cost_usd=None),
    ]
    assert total_cost(rows) is None
    assert total_cost([]) == 0


COUNTS = st.fixed_dictionaries(
    {
        name: st.integers(0, 20_000)
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens")
    }
    | {"write_5m": st.integers(0, 9_000), "write_1h": st.integers(0, 9_000)}
    | {"searches": st.integers(0, 5)}
)
MODELS = st.sampled_from(
    ["claude-haiku-4-5", "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"]
)


@given(MODELS, COUNTS)
def test_the_cost_is_the_sum_of_its_kinds_and_never_negative(model, counts):
    parts = [cost_of(model, usage(**{name: count})) for name, count in counts.items()]

    assert all(part >= 0 for part in parts)
    assert cost_of(model, usage(**counts)) == sum(parts)


@given(MODELS, COUNTS, st.sampled_from([None, "us", "global"]))
def test_only_searches_cost_the_same_in_a_batch(model, counts, geo):
    bill = usage(**counts, inference_geo=geo)
    searches = Fraction(counts["searches"], 100)

    batch, standard = (Fraction(cost_of(model, bill, tier=tier)) for tier in ("batch", "standard"))

    assert (standard - searches) == 2 * (batch - searches)


@pytest.mark.parametrize("kind", ["input_tokens", "output_tokens", "cache_read_input_tokens"])
def test_a_batch_costs_half_also_where_the_library_has_one_price_only(kind):
    model = "claude-opus-4-1"  # of which it knows no batch price

    standard = cost_of(model, {kind: SMALL}, tier="standard")

    assert standard is not None
    assert cost_of(model, {kind: SMALL}) == standard / 2
