"""One batch over time: a function of its times and of the clock, with nothing that ticks.

A batch is never moved from state to state by a background job. Its record says when it was
created, cancelled or ended by hand, and everything else follows from the time it is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from meshflow_prefect.emulator.clock import rfc3339
from meshflow_prefect.emulator.wire import error_body

SECONDS_TO_EXPIRE = 24 * 3600.0
SECONDS_TO_ARCHIVE = 29 * 24 * 3600.0

ProcessingStatus = Literal["in_progress", "canceling", "ended"]


@dataclass
class PlannedOutcome:
    """What a fault has made of some rows, whatever they ask."""

    outcome: Literal["errored", "expired", "canceled", "succeeded"]
    error: str | None
    message: str | None
    ranks: list[int]
    """Which rows, by their place in the order in which rows finish."""

    text: str | None = None
    """The reply of rows that succeeded."""

    def result(self) -> dict[str, Any]:
        """Return the result of each of them, where they did not succeed."""
        if self.error is None or self.message is None:
            return {"type": self.outcome}
        return {"type": self.outcome, "error": error_body(self.error, self.message, None)}


@dataclass(kw_only=True)
class Batch:
    """What is known of a batch, apart from its requests."""

    id: str
    sequence: int
    """Which batch of this emulator it is, in the order of creation; the first is 1."""

    workspace: str
    version: str
    """The `anthropic-version` of the create call: the rows are checked by its rules."""

    betas: list[str]
    created_at: float
    batch_seconds: float
    cancel_seconds: float
    size: int
    errored_ranks: list[int] = field(default_factory=list)
    """Which rows are errored, by their place in the order in which rows finish."""

    planned: list[PlannedOutcome] = field(default_factory=list)
    """The rows whose outcome a fault has decided; they are not among `errored_ranks`."""

    cancel_initiated_at: float | None = None
    ended_by_hand_at: float | None = None

    @property
    def expires_at(self) -> float:
        """When rows that have not finished expire."""
        return self.created_at + SECONDS_TO_EXPIRE

    @property
    def ends_at(self) -> float:
        """When this batch ends, as far as is known."""
        ends = [self.created_at + self.batch_seconds, self.expires_at]
        if self.cancel_initiated_at is not None:
            ends.append(self.cancel_initiated_at + self.cancel_seconds)
        if self.ended_by_hand_at is not None:
            ends.append(self.ended_by_hand_at)
        return min(ends)

    def status(self, now: float) -> ProcessingStatus:
        """Return the `processing_status` at a time."""
        if now >= self.ends_at:
            return "ended"
        return "in_progress" if self.cancel_initiated_at is None else "canceling"

    def is_archived(self, now: float) -> bool:
        """Whether the results are gone."""
        return now >= self.created_at + SECONDS_TO_ARCHIVE

    def finished_by(self, now: float) -> int:
        """How many rows have been answered by a time."""
        if self.cancel_initiated_at is not None:
            now = min(now, self.cancel_initiated_at)
        elif self.ended_by_hand_at is not None and now >= self.ended_by_hand_at:
            return self.size
        if now >= self.created_at + self.batch_seconds <= self.expires_at:
            return self.size
        elapsed = min(now, self.expires_at) - self.created_at
        return min(self.size, max(0, int(self.size * elapsed / self.batch_seconds)))

    @property
    def finished(self) -> int:
        """How many rows have been answered when the batch has ended."""
        return self.finished_by(self.ends_at)

    @property
    def unfinished_outcome(self) -> Literal["canceled", "expired"]:
        """What becomes of rows that were not answered in time."""
        return "expired" if self.cancel_initiated_at is None else "canceled"

    def counts(self, now: float, *, moving: bool) -> dict[str, int]:
        """Return the `request_counts` at a time."""
        ended = self.status(now) == "ended"
        counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        if not (ended or moving):
            counts["processing"] = self.size
            return counts
        finished = self.finished if ended else self.finished_by(now)
        counts["errored"] = bisect_left(self.errored_ranks, finished)
        counts["succeeded"] = finished - counts["errored"]
        for planned in self.planned:
            rows = bisect_left(planned.ranks, finished)
            counts[planned.outcome] += rows
            counts["succeeded"] -= rows
        rest = self.unfinished_outcome if ended else "processing"
        counts[rest] += self.size - finished
        return counts

    def as_message_batch(self, now: float, *, moving: bool, base_url: str) -> dict[str, Any]:
        """Return the ten keys of a MessageBatch."""
        ended, archived = now >= self.ends_at, self.is_archived(now)
        url = f"{base_url}/v1/messages/batches/{self.id}/results"
        cancelled_at = self.cancel_initiated_at
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status(now),
            "request_counts": self.counts(now, moving=moving),
            "created_at": rfc3339(self.created_at),
            "expires_at": rfc3339(self.expires_at),
            "ended_at": rfc3339(self.ends_at) if ended else None,
            "archived_at": rfc3339(self.created_at + SECONDS_TO_ARCHIVE) if archived else None,
            "cancel_initiated_at": None if cancelled_at is None else rfc3339(cancelled_at),
            "results_url": url if ended and not archived else None,
        }

    def as_json(self) -> dict[str, Any]:
        """Return this record for the disk."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Batch:
        """Return what `as_json` wrote."""
        planned = [PlannedOutcome(**each) for each in record.pop("planned", ())]
        return cls(**record, planned=planned)
