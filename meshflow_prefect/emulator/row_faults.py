"""Faults of rows: what becomes of requests, and damage to the file in which results are read.

Both say `"on": "rows"` and which rows: `custom_id` (a pattern such as "task-3-*"), or `every` (3
is every third row), or neither for all of them. An outcome is decided when a batch is created:

- `outcome`: "errored", "expired", "canceled" or "succeeded". It can also choose by `share` (0.1 is
  one row in ten, by their ids and `seed`);
- `error` and `message`: of an errored row ("api_error");
- `text`: the whole reply of a row that succeeded. A request that is not valid is errored all the
  same;
- `batches`: it applies to so many batches that have such rows (1); null is all of them. So the
  same rows can succeed in the next batch.

Damage is done when results are read, and the batch itself is as it was:

- `damage`: "forget" leaves the row out, "repeat" has it twice, "corrupt" is not JSON, "truncate"
  is half of the line, "rename" has a custom id that no request has, and "line_separator" has
  U+2028 and U+0085 unescaped in its text, which is valid and breaks readers that split lines
  there;
- `batch_id`: only the results of this batch;
- `times`: so many readings (null, which is all).

`every` counts the requests of a batch as they were sent, or its results as they come. A row that
is not answered, because its batch is cancelled or expires, has no planned outcome.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["errored", "expired", "canceled", "succeeded"]
DamageKind = Literal["forget", "repeat", "corrupt", "truncate", "rename", "line_separator"]


@dataclass(frozen=True, kw_only=True)
class RowChoice:
    """Which rows a fault is about."""

    pattern: re.Pattern[str] | None = None
    """What a custom id matches as a whole."""

    every: int | None = None
    share: float | None = None
    seed: int = 0

    def includes(self, place: int, custom_id: str) -> bool:
        """Whether a row is one of them; `place` counts from 0."""
        if self.pattern is not None:
            return self.pattern.fullmatch(custom_id) is not None
        if self.every is not None:
            return (place + 1) % self.every == 0
        if self.share is not None:
            digest = hashlib.blake2b(f"{self.seed}/{custom_id}".encode(), digest_size=8).digest()
            return int.from_bytes(digest) < self.share * 2**64
        return True


@dataclass(kw_only=True, eq=False)
class OutcomeFault:
    """What becomes of some rows of the next batches."""

    given: Mapping[str, Any]
    rows: RowChoice
    outcome: Outcome
    error: str | None = None
    message: str | None = None
    text: str | None = None
    batches: int | None = 1
    fired: int = field(default=0, init=False)

    @property
    def has_times_left(self) -> bool:
        """Whether it applies to one more batch."""
        return self.batches is None or self.fired < self.batches

    def shown(self) -> dict[str, Any]:
        """Return the fault as it was told, and its counts."""
        return {**self.given, "fired": self.fired, "held": 0}


@dataclass(kw_only=True, eq=False)
class DamageFault:
    """What happens to some lines whenever results are read."""

    given: Mapping[str, Any]
    rows: RowChoice
    damage: DamageKind
    batch_id: str | None = None
    times: int | None = None
    fired: int = field(default=0, init=False)

    def takes(self, batch_id: str) -> bool:
        """Whether it applies to a reading that begins; that is counted."""
        spent = self.times is not None and self.fired >= self.times
        if spent or self.batch_id not in (None, batch_id):
            return False
        self.fired += 1
        return True

    def shown(self) -> dict[str, Any]:
        """Return the fault as it was told, and its counts."""
        return {**self.given, "fired": self.fired, "held": 0}
