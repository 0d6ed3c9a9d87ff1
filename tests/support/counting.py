"""How many calls reach a server, by method and path."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.tripwire import Trap, Tripwire, running_wire

_CALL = re.compile(rb"\b(GET|POST|PATCH|PUT|DELETE) (/[^\s?]*)\S* HTTP/1\.1\r\n")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|-[0-9]{5}\b")


class CountingWire(Tripwire):
    """A proxy that counts the calls that pass."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.calls: Counter[str] = Counter()
        """By method and path, the ids in it left out."""

    def take(self, seen: bytes) -> tuple[Trap | None, bytes]:
        """Count, and let everything pass."""
        for found in _CALL.finditer(seen):
            method, path = (part.decode() for part in found.groups())
            self.calls[f"{method} {_ID.sub('…', path)}"] += 1
        ends = [found.end() for found in _CALL.finditer(seen)]
        return None, seen[max(ends, default=0) :][-2048:]


@contextmanager
def counting_wire(upstream: str) -> Iterator[CountingWire]:
    """Run a counting proxy in a thread while the block runs."""
    with running_wire(CountingWire(upstream)) as wire:
        yield wire
