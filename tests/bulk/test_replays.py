"""A run that fails and is tried again goes on where it was, and submits nothing twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prefect import flow

from meshflow_prefect import batch_file
from meshflow_prefect.errors import ContentChangedError, JobKeyError, MeshflowError
from tests.support.files import (
    PROMPT,
    counting,
    numbers,
    read_rows,
    run_file,
    sizes,
    write_rows,
)
from tests.support.jobs import SOON

OPTIONS = {"poll_interval": SOON, "max_requests_per_batch": 2}


@pytest.fixture
def source(tmp_path) -> str:
    return write_rows(tmp_path / "in.jsonl", counting(6))


def retried(source: str, out: object, between: Callable[[], object], **options) -> object:
    """Return a flow that does something between its two attempts at a file job."""
    attempts = []

    @flow(retries=1)
    async def outer() -> object:
        attempts.append(1)
        if len(attempts) == 2:
            between()
        return await batch_file(source, str(out), PROMPT, **OPTIONS, **options)

    return outer()


def collecting_fails_once(emulator) -> None:
    emulator.plan({"on": "results", "skip": 1, "status": 400})


async def test_a_run_that_fails_between_two_chunks_collects_what_it_has_submitted(
    emulator, source, tmp_path
):
    collecting_fails_once(emulator)

    await retried(source, tmp_path / "out.jsonl", lambda: None)

    assert emulator.faults()[0]["fired"] == 1
    assert sizes(emulator) == [2, 2, 2]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))


async def test_the_spool_and_what_was_collected_are_used_again(emulator, source, tmp_path, caplog):
    collecting_fails_once(emulator)

    await retried(source, tmp_path / "out.jsonl", lambda: None)

    read = [record for record in caplog.records if "6 requests in 3 chunks" in record.message]
    assert len(read) == 1
    # One of each chunk, and the one that failed.
    assert emulator.state()["calls"]["GET /v1/messages/batches/{id}/results"] == 4


async def test_a_disk_that_was_lost_loses_nothing(emulator, source, tmp_path, spools, caplog):
    collecting_fails_once(emulator)

    def lose() -> None:
        spools.rename(tmp_path / "lost")

    await retried(source, tmp_path / "out.jsonl", lose)

    assert sizes(emulator) == [2, 2, 2]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))


@pytest.mark.parametrize("spool_is_lost", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda path: write_rows(path, counting(7)),
        lambda path: write_rows(path, counting(6, id="x")[:1] + counting(6)[1:]),
        lambda path: write_rows(path, [*counting(5), {"n": 99}]),
    ],
    ids=["a row more", "an id", "a prompt"],
)
async def test_a_source_that_has_changed_is_an_error_and_nothing_more_is_submitted(
    emulator, source, tmp_path, spools, change, spool_is_lost
):
    collecting_fails_once(emulator)

    def between() -> None:
        change(tmp_path / "in.jsonl")
        if spool_is_lost:
            spools.rename(tmp_path / "lost")

    with pytest.raises(ContentChangedError, match="are not what they were at"):
        await retried(source, tmp_path / "out.jsonl", between, max_requests_in_queue=4)

    assert sizes(emulator) in ([2, 2], [2, 2, 2])
    assert not (tmp_path / "out.jsonl").exists()


async def test_a_source_that_was_only_touched_goes_on(emulator, source, tmp_path):
    collecting_fails_once(emulator)

    await retried(
        source, tmp_path / "out.jsonl", lambda: write_rows(tmp_path / "in.jsonl", counting(6))
    )

    assert sizes(emulator) == [2, 2, 2]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))


async def test_a_run_that_fails_after_its_output_writes_it_again_and_makes_no_batch(
    emulator, source, tmp_path
):
    attempts = []

    @flow(retries=1)
    async def outer() -> None:
        await batch_file(source, str(tmp_path / "out.jsonl"), PROMPT, **OPTIONS)
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("The flow fails after its file.")

    await outer()

    assert len(attempts) == 2
    assert sizes(emulator) == [2, 2, 2]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))


async def test_a_further_attempt_is_found_again(emulator, source, tmp_path):
    """Chunks 1 and 2 each have a failed row; reading a further attempt fails once."""
    emulator.plan(
        {"on": "rows", "custom_id": "task-0-*", "outcome": "errored"},
        {"on": "rows", "custom_id": "task-2-*", "outcome": "errored"},
        {"on": "results", "skip": 3, "status": 400},
    )

    await retried(source, tmp_path / "out.jsonl", lambda: None)

    rows = read_rows(tmp_path / "out.jsonl")
    assert emulator.faults()[2]["fired"] == 1
    assert sorted(sizes(emulator)) == [1, 1, 2, 2, 2]
    assert numbers(rows) == list(range(6))
    assert [row["attempts"] for row in rows] == [2, 1, 2, 1, 1, 1]


async def test_two_files_of_one_run_are_two_jobs(emulator, source, tmp_path):
    @flow
    async def both() -> None:
        for name in ("one", "two"):
            await batch_file(source, str(tmp_path / f"{name}.jsonl"), PROMPT, **OPTIONS)

    await both()

    assert sizes(emulator) == [2] * 6
    for name in ("one", "two"):
        assert numbers(read_rows(tmp_path / f"{name}.jsonl")) == list(range(6))


async def test_a_later_run_with_the_same_key_collects_and_makes_no_batch(
    emulator, source, tmp_path, request
):
    emulator.plan({"on": "rows", "custom_id": "task-3-*", "outcome": "errored"})
    options = {"job_key": request.node.name, "max_requests_per_batch": 4}

    first = await run_file(source, tmp_path / "one.jsonl", **options)
    second = await run_file(source, tmp_path / "two.jsonl", **options)

    assert sizes(emulator) == [4, 2, 1]
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert second.batch_ids == first.batch_ids
    assert second.cost_usd == first.cost_usd


@pytest.mark.parametrize("count", [2, 5, 8])
async def test_a_key_of_other_content_is_refused_also_where_chunks_are_the_same(
    emulator, source, tmp_path, request, count
):
    options = {"job_key": request.node.name, "max_requests_per_batch": 2}
    await run_file(source, tmp_path / "one.jsonl", **options)
    other = write_rows(tmp_path / "other.jsonl", counting(count))

    with pytest.raises(JobKeyError, match="for other content"):
        await run_file(other, tmp_path / "two.jsonl", **options)

    assert sizes(emulator) == [2, 2, 2]


async def test_a_key_of_the_same_requests_may_ask_for_other_columns(emulator, tmp_path, request):
    source = write_rows(tmp_path / "in.jsonl", [{"n": 1}, b"bad", {"n": 3}])
    options = {"job_key": request.node.name, "on_bad_row": "skip"}
    await run_file(source, tmp_path / "one.jsonl", **options)
    moved = (tmp_path / "in.jsonl").rename(tmp_path / "moved.jsonl")

    await run_file(moved, tmp_path / "two.jsonl", include_input=True, **options)

    assert sizes(emulator) == [2]
    assert [row.get("n") for row in read_rows(tmp_path / "two.jsonl")] == [1, None, 3]


async def test_a_later_run_with_a_smaller_budget_collects_all_that_is_paid_for(
    emulator, source, tmp_path, request
):
    """The command that is given again after a kill, say."""
    emulator.plan({"on": "results", "skip": 2, "status": 400})
    options = {"job_key": request.node.name, "max_requests_per_batch": 2}
    with pytest.raises(MeshflowError):
        await run_file(source, tmp_path / "out.jsonl", **options)
    assert sizes(emulator) == [2, 2, 2]

    summary = await run_file(source, tmp_path / "out.jsonl", max_cost_usd=0.0, **options)

    assert sizes(emulator) == [2, 2, 2]
    assert dict(summary.statuses) == {"succeeded": 6}
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))


async def test_a_later_run_collects_a_second_attempt_whose_rows_are_read_otherwise_by_then(
    emulator, source, tmp_path, request
):
    emulator.plan(
        {"on": "rows", "custom_id": "task-1-*", "outcome": "errored"},
        {"on": "rows", "custom_id": "task-3-*", "outcome": "errored"},
        {"on": "rows", "custom_id": "task-3-*", "damage": "corrupt"},
        {"on": "results", "skip": 3, "status": 400},
    )
    options = {"job_key": request.node.name}
    with pytest.raises(MeshflowError):
        await run_file(source, tmp_path / "out.jsonl", **options)
    assert sizes(emulator) == [6, 1]
    emulator.clear_faults()

    summary = await run_file(source, tmp_path / "out.jsonl", **options)

    assert sizes(emulator) == [6, 1]
    assert dict(summary.statuses) == {"succeeded": 5, "errored": 1}
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["custom_id"] for row in rows] == [str(n) for n in range(6)]
