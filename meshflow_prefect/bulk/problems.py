"""What was wrong with the rows that were not sent, as the spool has it."""

from __future__ import annotations

from pathlib import Path

import orjson

from meshflow_prefect.bulk.plan import NOT_SENT, Plan

NAMED = 20
"""How many are named; the output says it of each."""

_BEGINNING = b"[%d," % NOT_SENT


def first_problems(plan: Plan, rows: Path) -> tuple[str, ...]:
    """Return what is wrong with the first bad rows of a spool, each with its place."""
    found: list[str] = []
    wanted = min(NAMED, plan.bad_rows)
    with rows.open("rb") as lines:
        while len(found) < wanted and (line := lines.readline()):
            if line.startswith(_BEGINNING):
                found.append(orjson.loads(line)[1])
    return tuple(found)
