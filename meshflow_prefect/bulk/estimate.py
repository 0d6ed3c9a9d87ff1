"""What a job will cost, before anything is submitted: tokens counted on a sample, and prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any

import orjson

from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.errors import CredentialsError, MeshflowError, OverBudgetError
from meshflow_prefect.pricing import Tier, cost_of

if TYPE_CHECKING:
    from meshflow_prefect.client import AnthropicBatchClient

SAMPLE = 20
"""How many requests are counted. Where there are no more than that, the count is exact."""

_BYTES_PER_TOKEN, _FEWEST_BYTES_PER_TOKEN = 4.0, 2.0
"""Where the API cannot count: what is usual, and what is used for the upper bound."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job comes to, as far as it can be known before it is sent."""

    source: str
    rows: int
    bad_rows: int
    requests: int
    duplicates: int
    batches: int
    bytes: int
    """Of all create calls."""
    counted: int
    """Requests whose tokens the API has counted; 0: none, the tokens come from the bytes."""
    input_tokens: int
    """Of all requests: exact where all were counted, else by the bytes of those that were."""
    most_input_tokens: int
    """The same, if all had as many tokens a byte as the densest that was counted."""
    most_output_tokens: int
    """If each reply is as long as its `max_tokens`."""
    least_usd: float | None
    """US$ in batches for the input alone; None where a price is not known."""
    most_usd: float | None
    """US$ in batches, at most; web searches and further attempts are not in it."""
    standard_least_usd: float | None
    standard_most_usd: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        how = (
            "the API has counted them all"
            if self.counted == self.requests
            else f"by the API's count of {self.counted} of them"
            if self.counted
            else "estimated from their bytes: the API could not count them"
        )
        return (
            f"{self.rows:,} rows of {self.source}: {self.requests:,} requests in {self.batches:,} "
            f"batches, {self.bytes:,} bytes. Input {self.input_tokens:,} tokens, at most "
            f"{self.most_input_tokens:,} ({how}); output at most {self.most_output_tokens:,}. "
            f"In batches {_range(self.least_usd, self.most_usd)}, at standard price "
            f"{_range(self.standard_least_usd, self.standard_most_usd)}: the lower figure is "
            "without replies, the upper with all as long as max_tokens."
        )


async def estimate(
    source: str, plan: Plan, place: Workplace, anthropic: AnthropicBatchClient
) -> Estimate:
    """Estimate a job whose spool is there. Counts the tokens of up to 20 requests at Anthropic.

    Counting is free. Where it cannot be done, the tokens are taken from the bytes, and `counted`
    is 0.
    """
    ratios: dict[str, list[float]] = {}
    counted = 0
    try:
        for item in _sample(plan, place):
            params: dict[str, Any] = orjson.loads(item)["params"]
            tokens = await anthropic.count_tokens(params)
            ratios.setdefault(params["model"], []).append(tokens / len(item))
            counted += 1
    except CredentialsError:
        raise
    except MeshflowError:
        # A gateway that does not count, or an API that is away: the estimate says so.
        ratios, counted = {}, 0
    return _added_up(source, plan, ratios, counted)


def check_budget(found: Estimate, max_cost_usd: float) -> None:
    """Raise `OverBudgetError` when a job may cost more than it is allowed to."""
    if found.most_usd is None:
        raise OverBudgetError(
            f"max_cost_usd: the price of a model of {found.source!r} is not known, so the job "
            "cannot be held to a budget. Nothing was submitted. Say what it costs with "
            "`set_price`, or leave max_cost_usd out."
        )
    if found.most_usd > max_cost_usd:
        raise OverBudgetError(
            f"max_cost_usd: {found.requests:,} requests of {found.source!r} may cost up to "
            f"US$ {found.most_usd:.4f} (US$ {found.least_usd:.4f} without the replies), more than "
            f"US$ {max_cost_usd:.4f}. Nothing was submitted. Send fewer rows, allow shorter "
            "replies (max_tokens), or more money.",
            most_usd=found.most_usd,
        )


def _added_up(source: str, plan: Plan, ratios: Mapping[str, list[float]], counted: int) -> Estimate:
    every = [ratio for found in ratios.values() for ratio in found]
    usual = sum(every) / len(every) if every else 1 / _BYTES_PER_TOKEN
    densest = max(every) if every else 1 / _FEWEST_BYTES_PER_TOKEN
    is_exact = counted == plan.requests
    input_tokens = most_input = most_output = 0
    costs: dict[tuple[Tier, str], Decimal | None] = {}
    for model, share in plan.models.items():
        found = ratios.get(model)
        likely = share.bytes * (sum(found) / len(found) if found else usual)
        most = share.bytes * (max(found) if found else densest)
        if is_exact and found:
            most = likely
        input_tokens += round(likely)
        most_input += round(most)
        most_output += share.max_tokens
        tiers: tuple[Tier, ...] = ("batch", "standard")
        for tier in tiers:
            for end, tokens, output in (("least", likely, 0), ("most", most, share.max_tokens)):
                # Prices depend on the length of the prompt: that of the average request.
                usage = {
                    "input_tokens": ceil(tokens / share.requests),
                    "output_tokens": ceil(output / share.requests),
                }
                cost = cost_of(model, usage, tier=tier)
                known = costs.get((tier, end), Decimal(0))
                costs[tier, end] = (
                    None if cost is None or known is None else known + cost * share.requests
                )
    return Estimate(
        source=source,
        rows=plan.rows,
        bad_rows=plan.bad_rows,
        requests=plan.requests,
        duplicates=plan.duplicates,
        batches=len(plan.chunks),
        bytes=plan.size,
        counted=counted,
        input_tokens=input_tokens,
        most_input_tokens=most_input,
        most_output_tokens=most_output,
        least_usd=_float(costs.get(("batch", "least"), Decimal(0))),
        most_usd=_float(costs.get(("batch", "most"), Decimal(0))),
        standard_least_usd=_float(costs.get(("standard", "least"), Decimal(0))),
        standard_most_usd=_float(costs.get(("standard", "most"), Decimal(0))),
    )


def _range(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "of unknown price"
    return f"US$ {least:.6g} to {most:.6g}"


def _float(cost: Decimal | None) -> float | None:
    return None if cost is None else float(cost)


def _sample(plan: Plan, place: Workplace) -> Iterator[bytes]:
    """Yield requests at even distances over all chunks."""
    count = min(SAMPLE, plan.requests)
    wanted = {position * plan.requests // count for position in range(count)}
    position = 0
    for number, chunk in enumerate(plan.chunks):
        end = position + chunk.requests
        if any(position <= each < end for each in wanted):
            for offset, item in enumerate(place.chunk(plan, number).items()):
                if position + offset in wanted:
                    yield item
        position = end
