"""Where a run is killed: named calls of the run's process, and the moment in each.

The patterns are those of what the Prefect client and the Anthropic SDK send. The worker calls the
same Prefect API; none of its own calls matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.support.tripwire import Moment, Trap

INTENT = rb'"key":\s*"meshflow-intent-'
RECORD = rb'"key":\s*"meshflow-batch-'
CREATE = rb"POST /v1/messages/batches "
POLL = rb"GET /v1/messages/batches/[^/ ]+ "
RESULTS = rb"GET /v1/messages/batches/[^/ ]+/results "
SUSPENDED = rb'"name":\s*"Suspended"'
RESUMING = rb'"name":\s*"Resuming"'
# The head of the call and its body, with no other call in between.
COMPLETED = rb'POST /api/flow_runs/[^/ ]+/set_state (?:(?! HTTP/1\.1).)*?"COMPLETED"'


@dataclass(frozen=True)
class Point:
    """One row: a sentence that completes "the run is killed …", and the trap that does it."""

    name: str
    wire: str
    pattern: bytes
    moment: Moment
    occurrence: int = 1
    body_bytes: int = 0
    then: Point | None = None
    """Where the run is killed once more, after it was brought back."""

    def trap(self, spring: Callable[[], None]) -> Trap:
        pattern = re.compile(self.pattern, re.DOTALL)
        return Trap(pattern, spring, self.moment, self.occurrence, self.body_bytes)

    @property
    def kills(self) -> list[Point]:
        return [self] if self.then is None else [self, *self.then.kills]

    def __str__(self) -> str:
        return ", and then ".join(point.name for point in self.kills)


ONCE = (
    Point("before the intent", "prefect", INTENT, "before"),
    Point("after the intent", "prefect", INTENT, "after"),
    Point("before the create call", "anthropic", CREATE, "before"),
    Point("after the create call was accepted", "anthropic", CREATE, "after"),
    Point("before the record of the batch", "prefect", RECORD, "before"),
    Point("after the record of the batch", "prefect", RECORD, "after"),
    Point("before the first check", "anthropic", POLL, "before"),
    Point("after the first check was answered", "anthropic", POLL, "after"),
    Point("before the run is suspended", "prefect", SUSPENDED, "before"),
    Point("between the two calls of the suspension", "prefect", RESUMING, "before"),
    Point("after the suspension", "prefect", RESUMING, "after"),
    Point("before the download of the results", "anthropic", RESULTS, "before"),
    Point("amid the download of the results", "anthropic", RESULTS, "midway", body_bytes=2500),
    Point("at the last bytes of the results", "anthropic", RESULTS, "at_end"),
    Point("after the results were stored", "prefect", COMPLETED, "before"),
    Point("before the run is completed", "prefect", COMPLETED, "before", occurrence=2),
)

_AT = {point.name: point for point in ONCE}


def _twice(first: str, then: str) -> Point:
    return replace(_AT[first], then=_AT[then])


POINTS = (
    *ONCE,
    _twice("after the create call was accepted", "before the record of the batch"),
    _twice("between the two calls of the suspension", "amid the download of the results"),
)
