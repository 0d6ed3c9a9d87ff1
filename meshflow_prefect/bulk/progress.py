"""How far a job has come, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

_READ, _ENDED = 0.1, 0.85
"""Shares of the whole that reading, and then the batches, are taken for."""


@dataclass
class Progress:
    """Counted by those who do the work, looked at by those who show it."""

    rows_read: int = 0
    bad_rows: int = 0
    rows: int = 0
    """In the source; 0 until all of it is read."""
    requests: int = 0
    chunks: int = 0
    chunks_sent: int = 0
    batches_ended: int = 0
    """Of first attempts."""
    requests_ended: int = 0
    rows_written: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)
    """Of the batches that have been collected."""

    @property
    def milestones(self) -> tuple[int, ...]:
        """What changes when a chunk or a batch is done, and not with every row."""
        return (self.rows, self.chunks_sent, self.batches_ended, self.rows_written == self.rows)

    @property
    def share(self) -> float:
        """How much of the job is done, by estimate, from 0.0 to 1.0."""
        if not self.rows:
            return 0.0
        ended = self.requests_ended / self.requests if self.requests else 1.0
        return _READ + _ENDED * ended + (1 - _READ - _ENDED) * self.rows_written / self.rows

    def stages(self) -> Iterator[tuple[str, int, int]]:
        """Yield each stage with what is done of it and how much there is; 0: not known yet."""
        yield "rows read", self.rows_read, self.rows
        yield "chunks sent", self.chunks_sent, self.chunks
        yield "batches ended", self.batches_ended, self.chunks
        yield "requests ended", self.requests_ended, self.requests
        yield "rows written", self.rows_written, self.rows

    def as_markdown(self) -> str:
        """Return the stages as a table."""
        lines = ["| stage | done | of |", "|---|---:|---:|"]
        lines += [f"| {name} | {done:,} | {of:,} |" for name, done, of in self.stages()]
        lines += ["", f"US$ {self.cost_usd:.6f} so far; {self.bad_rows:,} bad rows."]
        return "\n".join(lines)
