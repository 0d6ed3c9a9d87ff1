"""What a run says about its outcome."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from meshflow_prefect.models import BatchResult
from meshflow_prefect.pricing import cost_of, total_cost

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


def log_outcome(logger: Logger, batch_id: str, results: Sequence[BatchResult]) -> None:
    """Log how many requests ended how, what they cost, and what they would have cost outside."""
    counts = ", ".join(
        f"{n:,} {status}" for status, n in Counter(r.status for r in results).items()
    )
    tokens = sum(result.tokens for result in results)
    logger.info("Batch %s: %s; %s tokens; %s.", batch_id, counts, f"{tokens:,}", price(results))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 request` or `5,000 requests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def price(results: Sequence[BatchResult]) -> str:
    """Return the cost of the rows whose model has a known price, in words."""
    known = [result for result in results if result.cost_usd is not None]
    total = total_cost(known) or Decimal(0)
    words = f"US$ {total:f} (standard price US$ {standard_cost(known):f})"
    if unknown := len(results) - len(known):
        words += f", and {counted(unknown, 'row')} of unknown cost"
    return words


def standard_cost(results: Sequence[BatchResult]) -> Decimal:
    """Return what the same usage costs outside of a batch, over the rows with a known price."""
    costs = (
        cost_of(result.model, result.usage, tier="standard") for result in results if result.model
    )
    return sum((cost for cost in costs if cost is not None), Decimal(0))
