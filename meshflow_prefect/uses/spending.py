"""What some results have cost, in figures that add up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from meshflow_prefect.models import BatchResult
from meshflow_prefect.pricing import billed_tokens, exact, total_cost
from meshflow_prefect.uses.markdown import money


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Requests, tokens and money, of all attempts."""

    requests: int = 0
    input_tokens: int = 0
    """Cache writes and reads included."""
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    """US$ at the batch price. None where the cost of a request is not known."""

    @classmethod
    def of(cls, results: Iterable[BatchResult]) -> Self:
        """Add up what was billed for some results."""
        results = list(results)
        read, written = billed_tokens(u for result in results for u in result.billed_usage)
        cost = total_cost(results)
        return cls(
            requests=len(results),
            input_tokens=read,
            output_tokens=written,
            cost_usd=None if cost is None else float(cost),
        )

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> str:
        """The cost in words."""
        return money(self.cost_usd)

    @property
    def cost_per_request(self) -> float | None:
        """US$; None where it is not known, or there are no requests."""
        if self.cost_usd is None or not self.requests:
            return None
        return self.cost_usd / self.requests

    def __add__(self, other: Spending) -> Spending:
        costs = (self.cost_usd, other.cost_usd)
        known = [exact(cost) for cost in costs if cost is not None]
        return Spending(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=float(sum(known)) if len(known) == len(costs) else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return every field and `tokens` as JSON values."""
        return asdict(self) | {"tokens": self.tokens}
