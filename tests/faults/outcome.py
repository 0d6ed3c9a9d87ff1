"""What a run came to that was killed on its way: paid for once, and no row lost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from prefect.client.schemas.objects import FlowRun

from meshflow_prefect.pricing import cost_of
from tests.support.rig import Rig


@dataclass(frozen=True)
class Outcome:
    """Counted at the emulator, and in what the flow got."""

    state: str
    created: int
    paid: int
    lost: int
    """Requests without a row that succeeded."""
    problems: tuple[str, ...]
    """What should not be; empty when all is well."""


def outcome_of(rig: Rig, run: FlowRun, requests: int) -> Outcome:
    assert run.state is not None
    batches = rig.emulator.batches()
    notes = rig.notes(str(run.id), "rows")
    rows = notes[-1]["rows"] if notes else []
    got = {position_of(row) for row in rows if row["succeeded"]}
    lost = sum(position not in got for position in range(requests))
    problems = []
    if run.state.name != "Completed":
        problems.append(f"the run ended in {run.state.name}: {run.state.message}")
    if len(batches) != 1:
        problems.append(f"{len(batches)} batches were created")
    if lost:
        problems.append(f"{lost} of {requests} rows are lost")
    for note in notes:
        if [position_of(row) for row in note["rows"]] != list(range(requests)):
            problems.append("the rows are not the requests in their order")
    if run.state.name == "Completed" and sum_of(rows) != (billed := bill(rig)):
        problems.append(f"the rows cost {sum_of(rows)}, billed are {billed}")
    paid = sum(batch["status"] != "ended" or is_billed(batch) for batch in batches)
    return Outcome(str(run.state.name), len(batches), paid, lost, tuple(problems))


def position_of(row: dict[str, Any]) -> int:
    """Which request a row answers, by its id, and by its text where it has one; else -1."""
    position = int(row["custom_id"].split("-")[1])
    return position if not row["succeeded"] or f"number {position}" in row["output"] else -1


def is_billed(batch: dict[str, Any]) -> bool:
    return bool(batch["request_counts"]["succeeded"])


def sum_of(rows: list[dict[str, Any]]) -> Decimal:
    """What the product says that the rows cost."""
    return sum((Decimal(repr(row["cost_usd"] or 0.0)) for row in rows), Decimal(0))


def bill(rig: Rig) -> Decimal:
    """What Anthropic asks for all batches together."""
    total = Decimal(0)
    for model, spent in rig.emulator.spend().items():
        cached = {kind: count for kind, count in spent.items() if kind.startswith("ephemeral_")}
        cost = cost_of(model, {**spent, "cache_creation": cached})
        assert cost is not None
        total += cost
    return total
