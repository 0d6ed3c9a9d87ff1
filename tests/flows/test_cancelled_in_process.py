"""A run that waits in its own process is cancelled: no worker ends it, so it looks for itself."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.runtime import flow_run
from prefect.states import Cancelling

from meshflow_prefect import (
    BatchNotFoundError,
    RunCancelledError,
    batch_agent_tasks,
    submit_batch,
)
from meshflow_prefect.emulator import Emulator
from meshflow_prefect.flows import cancel_batches
from tests.support.files import counting, run_file, sizes, write_rows
from tests.support.jobs import SOON, named, requests, stepped
from tests.support.processes import wait_until


async def cancelled(ids: list[str], emulator: Emulator, *, batches: int = 1) -> None:
    """Cancel the run, whose id comes to be known, once it has made so many batches."""
    await asyncio.to_thread(wait_until, lambda: len(sizes(emulator)) == batches, "they are made")
    async with get_client() as prefect:
        await prefect.set_flow_run_state(UUID(ids[0]), Cancelling(), force=True)


@stepped
@pytest.mark.parametrize(
    ("on_cancel", "left"), [("cancel_batches", "canceling"), ("keep", "in_progress")]
)
async def test_its_batch_is_cancelled_unless_it_is_to_be_kept(emulator, on_cancel, left):
    ids: list[str] = []

    @flow
    async def waits() -> None:
        ids.append(str(flow_run.id))
        await batch_agent_tasks(named(2), poll_interval=SOON, on_cancel=on_cancel)

    with pytest.raises(RunCancelledError, match="was cancelled"):
        await asyncio.gather(waits(), cancelled(ids, emulator))

    assert [batch["status"] for batch in emulator.batches()] == [left]


@stepped
async def test_the_batches_of_a_file_job_that_wait_are_cancelled(emulator, tmp_path, monkeypatch):
    monkeypatch.setenv("MESHFLOW_SPOOL", str(tmp_path / "spools"))
    source = write_rows(tmp_path / "in.jsonl", counting(8))
    ids: list[str] = []

    @flow
    async def waits() -> None:
        ids.append(str(flow_run.id))
        limits = {"max_requests_per_batch": 2, "max_requests_in_queue": 4}
        await run_file(source, tmp_path / "out.jsonl", **limits)

    with pytest.raises(RunCancelledError, match="was cancelled"):
        await asyncio.gather(waits(), cancelled(ids, emulator, batches=2))

    assert [batch["status"] for batch in emulator.batches()] == ["canceling"] * 2
    assert not (tmp_path / "out.jsonl").exists()


@stepped
async def test_a_batch_that_cannot_be_cancelled_does_not_keep_the_others_going(emulator):
    ids: list[str] = []

    @flow
    async def submits() -> list[str]:
        ids.append(str(flow_run.id))
        return [await submit_batch(requests(2)) for _ in range(3)]

    first, *others = await submits()
    emulator.plan({"on": "retrieve", "batch_id": first, "status": 404, "times": None})

    with pytest.raises(BatchNotFoundError, match=first):
        await cancel_batches(ids[0])

    found = {batch["id"]: batch["status"] for batch in emulator.batches()}
    assert found == {first: "in_progress"} | dict.fromkeys(others, "canceling")


@stepped
async def test_a_cancellation_that_is_put_off_is_repeated(emulator):
    """Three times by the SDK; what goes on is billed."""
    headers = {"retry-after": "1"}
    emulator.plan({"on": "cancel", "status": 429, "headers": headers, "times": 4})
    ids: list[str] = []

    @flow
    async def waits() -> None:
        ids.append(str(flow_run.id))
        await batch_agent_tasks(named(2), poll_interval=SOON)

    with pytest.raises(RunCancelledError, match="was cancelled"):
        await asyncio.gather(waits(), cancelled(ids, emulator))

    assert [batch["status"] for batch in emulator.batches()] == ["canceling"]
