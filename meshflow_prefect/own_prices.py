"""Prices that the user sets, for models that the price library lacks or has at another price."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn

import orjson

from meshflow_prefect.errors import InvalidRequestError

ENVIRONMENT = "MESHFLOW_PRICES"
"""Holds prices as JSON: for each model what `set_price` takes."""


@dataclass(frozen=True)
class TokenPrices:
    """Prices of one model in US$ per million tokens."""

    input: Decimal
    output: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal


_MULTIPLES: Mapping[str, Decimal | None] = {
    "input": None,
    "output": None,
    "cache_write_5m": Decimal("1.25"),
    "cache_write_1h": Decimal(2),
    "cache_read": Decimal("0.1"),
}
"""Kinds of tokens, and which multiple of the input price a kind has that is not said."""

_overrides: dict[str, TokenPrices] = {}


def set_price(
    model: str,
    *,
    input: float | Decimal,  # noqa: A002  (the name that price lists use)
    output: float | Decimal,
    cache_write_5m: float | Decimal | None = None,
    cache_write_1h: float | Decimal | None = None,
    cache_read: float | Decimal | None = None,
) -> None:
    """Set the standard price of `model`, in US$ per million tokens, for this process.

    It wins over the price library. Cache prices left out follow Anthropic's usual multiples of the
    input price: 1.25 (5-minute write), 2 (1-hour write) and 0.1 (read). In a deployed flow call it
    where the flow is defined, so that every process that collects rows has it.
    """
    _overrides[model] = _prices_of(
        model,
        {
            "input": input,
            "output": output,
            "cache_write_5m": cache_write_5m,
            "cache_write_1h": cache_write_1h,
            "cache_read": cache_read,
        },
    )


@lru_cache(maxsize=1)
def configured_prices() -> Mapping[str, TokenPrices]:
    """Return the prices that the environment of this process sets.

    Raises `InvalidRequestError` for what are no prices.
    """
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return {}
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"{ENVIRONMENT}: not JSON: {error}.") from None
    if not isinstance(given, dict) or not all(isinstance(each, dict) for each in given.values()):
        raise InvalidRequestError(
            f"{ENVIRONMENT}: expected US$ per million tokens for each model, as in "
            '{"claude-next": {"input": 1, "output": 5}}.'
        )
    return {model: _prices_of(model, prices) for model, prices in given.items()}


def own_prices(model: str) -> TokenPrices | None:
    """Return the standard prices of a model that `set_price` or the environment has set."""
    return _overrides.get(model) or configured_prices().get(model)


def _prices_of(model: str, given: Mapping[str, Any]) -> TokenPrices:
    """Check the prices of a model, and fill in those of its prompt cache."""
    if other := sorted(given.keys() - _MULTIPLES.keys()):
        _refuse(model, f"{other[0]}: no kind of token; there are {', '.join(_MULTIPLES)}")
    prices: dict[str, Decimal] = {}
    for name, multiple in _MULTIPLES.items():
        value = given.get(name)
        if value is None and multiple is None:
            _refuse(model, f"{name}: is missing")
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | None):
            _refuse(model, f"{name}: expected a number, got {value!r}")
        price = prices["input"] * (multiple or 1) if value is None else Decimal(str(value))
        if not price.is_finite() or price < 0:
            _refuse(model, f"{name}: must be 0 or more, got {price}")
        prices[name] = price
    return TokenPrices(**prices)


def _refuse(model: str, rule: str) -> NoReturn:
    raise InvalidRequestError(f"Price of {model!r}: {rule}.")
