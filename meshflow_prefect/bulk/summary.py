"""What a file job comes to, in figures: what its flow returns, never the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from meshflow_prefect.bulk.assembly import Endings
from meshflow_prefect.bulk.harvest import Tally
from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.models import ResultStatus
from meshflow_prefect.reporting import Logger, counted

_NAMED = 5
"""How many failures, and how many bad rows, are named in the log."""


@dataclass(frozen=True, kw_only=True)
class FileSummary:
    """The figures of one file job."""

    source: str
    """As it was given, without a password; the destination too."""
    destination: str
    rows: int
    """In the source, and in the destination."""
    statuses: Mapping[ResultStatus, int]
    """How many rows ended how."""
    failures: Mapping[str, int]
    """What went wrong with requests, in words, and with how many rows, the most frequent first: of
    the first 20 kinds. The destination has the words for every row."""
    refused: int
    """Requests that the model declined to answer; a refusal is a reply."""
    requests: int
    """That were to be sent: fewer than rows where some are bad, or the same as earlier ones."""
    bad_rows: int
    duplicates: int
    """Rows that got the result of an equal earlier row, and cost nothing."""
    batch_ids: tuple[str, ...]
    """In the order of their chunks, further attempts last."""
    input_tokens: int
    """Cache writes and reads included; of all attempts."""
    output_tokens: int
    cost_usd: float | None
    """US$, of all attempts. None where the cost of a row is not known."""
    standard_cost_usd: float
    """US$, what the same tokens cost outside of a batch, of the rows whose cost is known."""
    cache_read_tokens: int
    """Input tokens that were read from the prompt cache."""
    saved_by_cache_usd: float
    """US$; negative where writing to the cache cost more than reading has saved."""
    saved_by_deduplication_usd: float
    """US$, an estimate: the average request's cost for each duplicate."""
    unsent: int = 0
    """Requests that were not sent, because `max_cost_usd` was reached."""
    problems: tuple[str, ...] = ()
    """What is wrong with the first 20 bad rows, each with its place."""

    @property
    def succeeded(self) -> int:
        """Rows with a reply."""
        return self.statuses.get("succeeded", 0)

    @property
    def failed(self) -> int:
        """Rows without one."""
        return self.rows - self.succeeded

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        derived = {"succeeded": self.succeeded, "failed": self.failed, "tokens": self.tokens}
        return asdict(self) | derived

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {status}" for status, count in self.statuses.items())
        counts += f" ({self.refused:,} refused)" if self.refused else ""
        cost = "of unknown cost"
        if self.cost_usd is not None:
            cost = f"US$ {self.cost_usd:.6g} (standard price US$ {self.standard_cost_usd:.6g})"
        return (
            f"{counted(self.rows, 'row')} of {self.source}: {counts}; "
            f"{counted(len(self.batch_ids), 'batch')}, "
            f"{self.tokens:,} tokens, {cost}; "
            f"written to {self.destination}"
        )


def log_summary(logger: Logger, summary: FileSummary) -> None:
    """Log the figures; warn of rows that were no requests, or have failed, with why."""
    logger.info("%s.", summary)
    reasons = [*((1, problem) for problem in summary.problems[:_NAMED])]
    reasons += [(count, words) for words, count in [*summary.failures.items()][:_NAMED]]
    for count, words in reasons:
        logger.warning("%s: %s", counted(count, "row"), words)
    if (others := summary.failed - sum(count for count, _ in reasons)) > 0:
        logger.warning("%s more failed; each says why in the output.", counted(others, "row"))


def summarise(
    plan: Plan,
    tallies: Iterable[Tally],
    endings: Endings,
    *,
    source: str,
    destination: str,
    unsent: int,
) -> FileSummary:
    """Add up what was spooled, what each batch brought, and how each row ended."""
    tallies = list(tallies)
    cost = sum((tally.cost for tally in tallies), Decimal(0))
    sent = plan.requests - unsent
    return FileSummary(
        source=source,
        destination=destination,
        rows=plan.rows,
        statuses=dict(endings.statuses),
        failures=dict(endings.failures.most_common()),
        refused=sum(tally.refused for tally in tallies),
        requests=plan.requests,
        bad_rows=plan.bad_rows,
        duplicates=plan.duplicates,
        batch_ids=tuple(tally.batch_id for tally in tallies),
        input_tokens=sum(tally.input_tokens for tally in tallies),
        output_tokens=sum(tally.output_tokens for tally in tallies),
        cost_usd=None if any(tally.unknown_cost for tally in tallies) else float(cost),
        standard_cost_usd=float(sum((tally.standard_cost for tally in tallies), Decimal(0))),
        cache_read_tokens=sum(tally.cache_read_tokens for tally in tallies),
        saved_by_cache_usd=float(sum((tally.saved_by_cache for tally in tallies), Decimal(0))),
        saved_by_deduplication_usd=float(cost / sent * plan.duplicates) if sent else 0.0,
        unsent=unsent,
        problems=tuple(endings.problems),
    )
