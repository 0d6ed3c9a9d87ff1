"""What a run says about its outcome."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from meshflow_prefect.caching import cache_saving
from meshflow_prefect.models import BatchResult, Collected
from meshflow_prefect.pricing import cost_of, total_cost

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

_KINDS_OF_FAILURE = 5
"""How many different failures are named in the log; each row holds its own."""


def log_outcome(logger: Logger, batch_ids: Sequence[str], results: Sequence[BatchResult]) -> None:
    """Log how many requests ended how and what they cost; warn of those that did not succeed."""
    counts = ", ".join(
        f"{n:,} {status}" for status, n in Counter(r.status for r in results).items()
    )
    tokens = sum(result.tokens for result in results)
    batches = ", ".join(batch_ids)
    logger.info("Batch %s: %s; %s tokens; %s.", batches, counts, f"{tokens:,}", price(results))
    saving = cache_saving(results)
    if saving.read_tokens or saving.written_tokens:
        logger.info(
            "The prompt cache: %s tokens read, %s written, US$ %s saved.",
            f"{saving.read_tokens:,}",
            f"{saving.written_tokens:,}",
            "an unknown sum" if saving.saved_usd is None else f"{saving.saved_usd:.6g}",
        )
    failures = Counter(result.error for result in results if not result.succeeded)
    for error, count in failures.most_common(_KINDS_OF_FAILURE):
        logger.warning("%s of batch %s: %s", counted(count, "row"), batches, error)
    if (others := len(failures) - _KINDS_OF_FAILURE) > 0:
        logger.warning("Batch %s has %s more kinds of failed rows.", batches, f"{others:,}")


def reading_faults(collected: Collected) -> Iterator[str]:
    """Yield what was wrong with the results of a batch, in words; nothing when all was well."""
    if count := collected.unreadable:
        yield f"{counted(count, 'line')} of the results cannot be read."
    if count := collected.absent:
        yield f"{counted(count, 'request')} without a row that can be read in the results."
    if unknown := collected.unknown_ids:
        yield (
            f"{counted(len(unknown), 'row')} of the results left out, of requests that were not "
            f"asked for, such as {unknown[0]!r}."
        )


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 request`, `5,000 requests` or `10 batches`."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count:,} {noun if count == 1 else plural}"


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
        cost_of(result.model, usage, tier="standard")
        for result in results
        if result.model
        for usage in result.billed_usage
    )
    return sum((cost for cost in costs if cost is not None), Decimal(0))
