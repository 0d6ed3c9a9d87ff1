"""What a job will cost, before anything is submitted: tokens counted on a sample, and prices."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from meshflow_prefect.bulk.plan import ModelShare, Plan
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.errors import (
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    OverBudgetError,
)
from meshflow_prefect.pricing import Tier, cost_of
from meshflow_prefect.reporting import counted

if TYPE_CHECKING:
    from meshflow_prefect.client import AnthropicBatchClient

SAMPLE = 20
"""How many requests are counted. Where there are no more than that, the count is exact."""

_BYTES_PER_TOKEN, _FEWEST_BYTES_PER_TOKEN = 4.0, 2.0
"""Where the API cannot count: what is usual, and what is used for the upper bound."""


class _Count(NamedTuple):
    """What the API has said of one request."""

    tokens: int
    bytes: int


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
    """US$ in batches, at most: each reply as long as its `max_tokens`, each prompt at the price of
    the longest, all that is marked for the cache written there. Web searches are not in it."""
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
            f"{counted(self.rows, 'row')} of {self.source}: {counted(self.requests, 'request')} in "
            f"{counted(self.batches, 'batch')}, {self.bytes:,} bytes. Input "
            f"{self.input_tokens:,} tokens, at most {self.most_input_tokens:,} ({how}); "
            f"output at most {self.most_output_tokens:,}. "
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
    counts: dict[str, list[_Count]] = {}
    try:
        # Somewhere in files of 256 MB.
        for item in await asyncio.to_thread(lambda: list(_sample(plan, place))):
            params: dict[str, Any] = orjson.loads(item)["params"]
            tokens = await anthropic.count_tokens(params)
            counts.setdefault(params["model"], []).append(_Count(tokens, len(item)))
    except MeshflowError as error:
        # A key that was refused is a mistake; without one, or where nobody is asked, there is none.
        if isinstance(error, CredentialsError) and error.details.get("status_code") is not None:
            raise
        # A gateway that does not count, or an API that is away: the estimate says so.
        counts = {}
    return _added_up(source, plan, counts)


def budget_of(max_cost_usd: float | None) -> Decimal | None:
    """Return what may be spent; raises `InvalidRequestError` for what is no sum of money."""
    if max_cost_usd is None:
        return None
    if not max_cost_usd >= 0:
        raise InvalidRequestError(f"max_cost_usd: must be US$ 0 or more, got {max_cost_usd!r}.")
    return Decimal(repr(max_cost_usd))


def check_budget(found: Estimate, max_cost_usd: float) -> None:
    """Raise `OverBudgetError` when a job may cost more than it is allowed to."""
    if found.most_usd is None:
        raise OverBudgetError(
            f"max_cost_usd: the price of a model of {found.source!r} is not known, so the job "
            "cannot be held to a budget. Nothing was submitted. Say what it costs with "
            "`set_price` or MESHFLOW_PRICES, or leave max_cost_usd out."
        )
    if found.most_usd > max_cost_usd:
        what = f"{counted(found.requests, 'request')} of {found.source!r}"
        raise OverBudgetError(
            f"max_cost_usd: {what} may cost up to US$ {found.most_usd:.4f} "
            f"(US$ {found.least_usd:.4f} without the replies), more than US$ {max_cost_usd:.4f}. "
            "Nothing was submitted. Send fewer rows, allow shorter replies (max_tokens), or more "
            "money.",
            most_usd=found.most_usd,
        )


def _added_up(source: str, plan: Plan, counts: Mapping[str, Sequence[_Count]]) -> Estimate:
    every = [count for found in counts.values() for count in found]
    is_exact = len(every) == plan.requests
    input_tokens = most_input = most_output = 0
    costs: defaultdict[tuple[Tier, str], Decimal] = defaultdict(Decimal)
    unknown = False
    for model, share in plan.models.items():
        found = counts.get(model) or every
        usual, densest = _per_byte(found)
        likely = share.size * usual
        most = likely if is_exact else share.size * densest
        input_tokens += round(likely)
        most_input += ceil(most)
        most_output += share.max_tokens
        tiers: tuple[Tier, ...] = ("batch", "standard")
        for tier in tiers:
            low = _input_cost(model, likely, max(1, ceil(likely / share.requests)), tier)
            high = _most_cost(model, share, most, max(1, ceil(share.longest * densest)), tier)
            if low is None or high is None:
                unknown = True
            else:
                costs[tier, "least"] += low
                costs[tier, "most"] += high

    def cost(tier: Tier, end: str) -> float | None:
        return None if unknown else float(costs[tier, end])

    return Estimate(
        source=source,
        rows=plan.rows,
        bad_rows=plan.bad_rows,
        requests=plan.requests,
        duplicates=plan.duplicates,
        batches=len(plan.chunks),
        bytes=plan.size,
        counted=len(every),
        input_tokens=input_tokens,
        most_input_tokens=most_input,
        most_output_tokens=most_output,
        least_usd=cost("batch", "least"),
        most_usd=cost("batch", "most"),
        standard_least_usd=cost("standard", "least"),
        standard_most_usd=cost("standard", "most"),
    )


def _per_byte(counts: Sequence[_Count]) -> tuple[float, float]:
    """Return the tokens for a byte of all requests that were counted, and of the densest."""
    if not counts:
        return 1 / _BYTES_PER_TOKEN, 1 / _FEWEST_BYTES_PER_TOKEN
    usual = sum(count.tokens for count in counts) / sum(count.bytes for count in counts)
    return usual, max(count.tokens / count.bytes for count in counts)


def _input_cost(model: str, tokens: float, length: int, tier: Tier) -> Decimal | None:
    """Return the price of so many tokens, in prompts of this length each."""
    one = cost_of(model, {"input_tokens": length}, tier=tier)
    return None if one is None else one / length * Decimal(tokens)


def _most_cost(
    model: str, share: ModelShare, tokens: float, longest: int, tier: Tier
) -> Decimal | None:
    """Return the price of so many tokens with all replies, if everything costs its most.

    That is: every prompt at the price of the longest, all that may be cached written for an hour.
    """
    geo = {"inference_geo": "us"} if share.in_us else {}
    plain = {"input_tokens": longest, **geo}
    written = {"cache_creation": {"ephemeral_1h_input_tokens": longest}, **geo}
    one = cost_of(model, plain, tier=tier)
    one_written = cost_of(model, written, tier=tier)
    replied = cost_of(model, {**plain, "output_tokens": share.max_tokens}, tier=tier)
    if one is None or one_written is None or replied is None:
        return None
    part = Decimal(share.cached) / share.size
    dearest = one * (1 - part) + max(one, one_written) * part
    return dearest / longest * Decimal(tokens) + (replied - one)


def _range(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "of unknown price"
    return f"US$ {least:.6g} to {most:.6g}"


def _sample(plan: Plan, place: Workplace) -> Iterator[bytes]:
    """Yield one request of every twentieth part, in order.

    Any one of it, so that rows which repeat themselves are not all of the same kind; and the same
    ones for the same job, so that it is not refused today and allowed tomorrow.
    """
    if not plan.requests:
        return
    count = min(SAMPLE, plan.requests)
    bounds = [part * plan.requests // count for part in range(count + 1)]
    chance = random.Random(plan.digest)  # noqa: S311  (no secret)
    wanted = {chance.randrange(start, end) for start, end in pairwise(bounds)}
    position = 0
    for number, chunk in enumerate(plan.chunks):
        end = position + chunk.requests
        if any(position <= each < end for each in wanted):
            for offset, item in enumerate(place.chunk(plan, number).items()):
                if position + offset in wanted:
                    yield item
        position = end
