"""Which sizes are measured, and with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contestants import CONTESTANTS

SIZE = 2_500
"""Bytes of a request, and about those of its result."""

REPLY_WORDS = 300
ONE, SMALL, LARGE, MILLION = 1, 20_000, 100_000, 1_000_000


@dataclass(frozen=True)
class Step:
    """One size, with the contestants that run it."""

    requests: int
    names: Sequence[str]
    rounds: int
    beside: int | None = None
    """Another size that each contestant runs right before each run of this one.

    What a row costs at one size and at another is compared between such neighbours: within an hour
    the same run came to cost a quarter more and less, as the machine has other things to do too.
    """


def steps(*, rounds: int, million: bool) -> list[Step]:
    """Return the steps of `make bench`.

    A run of one row shows what a process costs before it does anything: what a larger run costs
    beyond that is its work. At 100,000 rows the flow for lists is left out: Prefect stores what it
    returns, and files are what so many rows are for. A million is for files alone.
    """
    every = tuple(CONTESTANTS)
    found = [
        Step(ONE, every, rounds),
        Step(SMALL, every, rounds),
        Step(LARGE, ("floor", "sdk", "client", "files", "command"), rounds),
    ]
    if million:
        found.append(Step(MILLION, ("files", "command"), rounds, beside=LARGE))
    return found
