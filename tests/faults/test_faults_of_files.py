"""One fault of the API at a time in a file job of four chunks, one after the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.matrix import Group, Row
from tests.support.files import counting, read_rows, run_file, sizes, write_rows
from tests.support.processes import wait_until

CHUNKS, PER_CHUNK = 4, 3
COUNT = CHUNKS * PER_CHUNK
AWAY_SECONDS = 4


@dataclass(frozen=True)
class Fault:
    group: Group
    words: str
    plan: Mapping[str, Any]
    missing: int = 0
    created: int = CHUNKS
    begins: int = 0
    """How many batches there are when the fault comes."""


FAULTS = [
    Fault(
        "create",
        "the create call of chunk 2 is accepted, and the connection breaks",
        {"on": "create", "skip": 1, "accept": True, "drop": True},
    ),
    Fault(
        "wait",
        "the API is away in the middle of chunk 2 of 4",
        {"on": "any", "away": AWAY_SECONDS},
        begins=2,
    ),
    Fault(
        "collect",
        "the results of chunk 3 break off, twice",
        {"on": "results", "skip": 2, "cut_after": 1200, "times": 2},
    ),
    Fault(
        "collect",
        "a row of chunk 3 is missing",
        {"on": "rows", "custom_id": "task-7-*", "damage": "forget"},
        missing=1,
    ),
    Fault(
        "collect",
        "a row of chunk 3 is overloaded, then not",
        {"on": "rows", "custom_id": "task-7-*", "outcome": "errored", "error": "overloaded_error"},
        created=CHUNKS + 1,
    ),
]


@pytest.mark.anthropic_emulator(batch_seconds=0.4)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: re.sub(r"\W+", "-", fault.words))
async def test_a_fault_of_the_api_in_a_file_job(
    stack, own_storage, anthropic_emulator, matrix, tmp_path, monkeypatch, fault
):
    monkeypatch.setenv("MESHFLOW_SPOOL", str(tmp_path / "spools"))
    emulator, destination = anthropic_emulator, tmp_path / "out.jsonl"
    source = write_rows(tmp_path / "in.jsonl", counting(COUNT))

    def break_it() -> None:
        wait_until(lambda: len(sizes(emulator)) == fault.begins, f"{fault.begins} batches are made")
        emulator.plan(fault.plan)

    if not fault.begins:
        break_it()
    limits = dict.fromkeys(("max_requests_per_batch", "max_requests_in_queue"), PER_CHUNK)
    job = asyncio.create_task(run_file(source, destination, **limits))
    if fault.begins:
        await asyncio.to_thread(break_it)
    summary = await job

    rows = read_rows(destination)
    assert [row["custom_id"] for row in rows] == [str(n) for n in range(COUNT)]
    expected = {"succeeded": COUNT - fault.missing, "missing": fault.missing}
    assert summary.statuses == {status: count for status, count in expected.items() if count}
    made = len(emulator.batches())
    assert made == fault.created == len(summary.batch_ids)
    assert sum(each["fired"] for each in emulator.faults()) > 0, "the fault was met"
    seen = ", ".join(f"{count} {status}" for status, count in summary.statuses.items())
    seen = "all rows" if summary.succeeded == COUNT else seen
    matrix(Row(fault.group, f"bulk: {fault.words}", seen, made, made, COUNT - len(rows)))
