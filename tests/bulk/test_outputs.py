"""A file that is at the destination when the output is written: the job's own, or another's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prefect import flow

from meshflow_prefect import BatchFailedError, DestinationError
from tests.support.files import counting, numbers, read_rows, run_file, sizes, write_rows
from tests.support.processes import wait_until


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write_rows(tmp_path / "in.jsonl", counting(4))


async def appears(emulator, output: Path) -> None:
    """Write a file as soon as there is a batch."""
    await asyncio.to_thread(wait_until, emulator.batches, "a batch is made", pause=0.05)
    await asyncio.to_thread(output.write_text, "precious")


@pytest.mark.anthropic_emulator(batch_seconds=3)
async def test_a_file_that_comes_during_the_wait_is_not_replaced_and_nothing_is_lost(
    emulator, source, tmp_path
):
    output = tmp_path / "out.jsonl"

    @flow(retries=1)
    async def job() -> None:
        if output.exists():
            assert output.read_text() == "precious"
            output.unlink()
        await run_file(source, output)

    _, ended = await asyncio.gather(appears(emulator, output), job(return_state=True))

    await ended.aresult()
    assert numbers(read_rows(output)) == list(range(4))
    assert sizes(emulator) == [4]


@pytest.mark.anthropic_emulator(batch_seconds=3)
async def test_the_error_says_what_to_do_with_the_file(emulator, source, tmp_path):
    output = tmp_path / "out.jsonl"
    with pytest.raises(DestinationError, match="exists: remove it"):
        await asyncio.gather(run_file(source, output), appears(emulator, output))
    assert output.read_text() == "precious"


async def test_a_retry_replaces_what_its_run_has_written(emulator, source, tmp_path):
    emulator.plan({"on": "rows", "custom_id": "task-1-*", "outcome": "errored"})
    options = {"on_failure": "raise", "max_attempts": 1}

    @flow(retries=1)
    async def job() -> None:
        await run_file(source, tmp_path / "out.jsonl", **options)

    with pytest.raises(BatchFailedError, match="1 of 4 rows failed"):
        await job()
    assert len(read_rows(tmp_path / "out.jsonl")) == 4
    assert sizes(emulator) == [4]
