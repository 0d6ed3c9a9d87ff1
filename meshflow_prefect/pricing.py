"""Usage → US$, at the batch price: half of the standard one for tokens, the same for searches.

Prices come from the `genai-prices` library, which knows cache tiers and prompt-length tiers. A
model that it does not know can be priced with `set_price`, or by the environment for commands and
workers; otherwise its cost is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from meshflow_prefect.own_prices import TokenPrices, own_prices

if TYPE_CHECKING:
    from meshflow_prefect.models import BatchResult

Tier = Literal["batch", "standard"]

US_INFERENCE_FACTOR = Decimal("1.1")
"""`inference_geo: "us"` multiplies the price of tokens, not of searches, by this."""

WEB_SEARCH = Decimal(10) / 1000
"""US$ for one web search, in a batch or not."""


def cost_of(
    model: str, usage: Mapping[str, Any], *, tier: Tier = "batch", tokens: Tokens | None = None
) -> Decimal | None:
    """Return the exact price in US$ of one reply, or None where the model's price is not known.

    `tokens` are those of `usage`, for a caller who has counted them already.
    """
    tokens = tokens or tokens_of(usage)
    if (own := own_prices(model)) is not None:
        cost = _cost(own, tokens) / (2 if tier == "batch" else 1)
    else:
        steps = _library_prices(model, tier)
        if steps is None:
            return None
        # The last step whose prompt length is exceeded holds for all tokens of the request.
        prices = steps[0][1]
        for start, above in steps[1:]:
            if tokens.input > start:
                prices = above
        cost = _cost(prices, tokens)
    if usage.get("inference_geo") == "us":
        cost *= US_INFERENCE_FACTOR
    # Most rows have none, and to add nothing takes time too.
    return cost + _searches(usage) if usage.get("server_tool_use") else cost


def load_prices() -> None:
    """Load the price list, which takes a third of a second and is else done by the first row."""
    _library_prices("", "batch")


def standard_cost_of(model: str, usage: Mapping[str, Any], cost: Decimal) -> Decimal | None:
    """Return what a reply that cost so much in a batch would have cost outside of one, in US$."""
    if not _batch_is_half(model):
        return cost_of(model, usage, tier="standard")
    # So much cheaper than to work it out, that it is worth it with a million of rows.
    return 2 * cost - _searches(usage) if usage.get("server_tool_use") else 2 * cost


def total_cost(results: Iterable[BatchResult]) -> Decimal | None:
    """Return the exact sum of `cost_usd` in US$, or None where the cost of any row is not known."""
    total = Decimal(0)
    for result in results:
        if result.cost_usd is None:
            return None
        total += exact(result.cost_usd)
    return total


def exact(cost_usd: float) -> Decimal:
    """Return the figure that a row's price was computed to: the shortest decimal of the float."""
    return Decimal(repr(cost_usd))


def billed_tokens(usages: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the input tokens, cache writes and reads included, and the output tokens of all."""
    counts = [tokens_of(usage) for usage in usages]
    return sum(each.input for each in counts), sum(each.output for each in counts)


def without_cache(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a usage object as it would be if the same prompt had not been cached."""
    return {
        **usage,
        "input_tokens": tokens_of(usage).input,
        "cache_creation": None,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


class Tokens(NamedTuple):
    """Counts of tokens, in the price library's words: input is the total of all kinds of it."""

    input: int
    output: int
    cache_write: int
    cache_write_1h: int
    cache_read: int

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output


_tokens = partial(tuple.__new__, Tokens)
"""Makes `Tokens` of a tuple, in half of the time."""


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """Return the token counts of a usage object."""
    # Every row passes here twice: spelled out, this takes a third of the time of a loop.
    get = usage.get
    written = int(get("cache_creation_input_tokens") or 0)
    read = int(get("cache_read_input_tokens") or 0)
    hour = 0
    if by_duration := get("cache_creation"):
        hour = int(by_duration.get("ephemeral_1h_input_tokens") or 0)
        written = max(written, hour + int(by_duration.get("ephemeral_5m_input_tokens") or 0))
    total = int(get("input_tokens") or 0) + written + read
    return _tokens((total, int(get("output_tokens") or 0), written, hour, read))


def _searches(usage: Mapping[str, Any]) -> Decimal:
    return int(usage["server_tool_use"].get("web_search_requests") or 0) * WEB_SEARCH


def _cost(prices: TokenPrices, tokens: Tokens) -> Decimal:
    total, output, written, hour, read = tokens
    cost = total * prices.input + output * prices.output
    if written or read:
        cost += (
            (written - hour) * prices.cache_write_5m
            + hour * prices.cache_write_1h
            + read * prices.cache_read
            - (written + read) * prices.input
        )
    return cost / 1_000_000


def _batch_is_half(model: str) -> bool:
    """Whether tokens cost half of the standard price in a batch, of whichever kind they are."""
    return own_prices(model) is not None or _library_halves(model)


@lru_cache(maxsize=256)
def _library_halves(model: str) -> bool:
    batch, standard = _library_prices(model, "batch"), _library_prices(model, "standard")
    if batch is None or standard is None:
        return False
    doubled = [(start, {k: 2 * price for k, price in vars(p).items()}) for start, p in batch]
    return doubled == [(start, vars(prices)) for start, prices in standard]


@lru_cache(maxsize=256)
def _library_prices(model: str, tier: Tier) -> tuple[tuple[int, TokenPrices], ...] | None:
    """Return the library's prices of a model by the prompt length that each holds above.

    Asking the library for the price of each row takes longer than all else that is done with it.
    """
    from genai_prices import Usage, calc_price
    from genai_prices.types import TieredPrices

    try:
        known = calc_price(
            Usage(input_tokens=1),
            model,
            provider_id="anthropic",
            # `{"service_tier": "batch"}` looks right and silently gives the standard price.
            price_context={"processing": "batch"} if tier == "batch" else None,
        ).model_price
    except LookupError:
        return None

    def above(start: int, kind: str) -> Decimal:
        price = getattr(known, kind, None)
        if isinstance(price, TieredPrices):
            return [price.base, *(t.price for t in price.tiers if t.start <= start)][-1]
        # A kind that has no price of its own is charged as plain input.
        return price if price is not None else above(start, "input_mtok")

    kinds = {
        "input": "input_mtok",
        "output": "output_mtok",
        "cache_write_5m": "cache_write_mtok",
        "cache_write_1h": "cache_write_1h_mtok",
        "cache_read": "cache_read_mtok",
    }
    tiered = (price for price in vars(known).values() if isinstance(price, TieredPrices))
    starts = sorted({step.start for price in tiered for step in price.tiers})
    steps = tuple(
        (start, TokenPrices(**{name: above(start, kind) for name, kind in kinds.items()}))
        for start in (-1, *starts)
    )
    if tier == "batch" and steps == _library_prices(model, "standard"):
        # The library knows no batch price of this model, and gives the standard one.
        return tuple(
            (start, TokenPrices(**{name: price / 2 for name, price in vars(prices).items()}))
            for start, prices in steps
        )
    return steps
