"""Rows that fail are sent again alone, and end as one row each, whatever became of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from prefect import flow

from meshflow_prefect.errors import BatchFailedError
from meshflow_prefect.pricing import cost_of
from tests.support.files import counting, numbers, read_rows, run_file, sizes, write_rows


@pytest.fixture
def source(tmp_path) -> str:
    return write_rows(tmp_path / "in.jsonl", counting(6))


def failing(row: int, error: str = "overloaded_error", **fields) -> dict:
    """What fails one row of the next batch."""
    chosen = {"custom_id": f"task-{row}-*", "outcome": "errored", "error": error}
    return {"on": "rows", **chosen, **fields}


def billed(emulator) -> float:
    return float(
        sum((cost_of(model, usage) for model, usage in emulator.spend().items()), Decimal(0))
    )


async def test_rows_that_met_a_passing_error_are_sent_again_alone_and_merged_in_order(
    emulator, source, tmp_path
):
    emulator.plan(failing(1), failing(4, "timeout_error"))

    summary = await run_file(source, tmp_path / "out.jsonl", include_input=True)

    rows = read_rows(tmp_path / "out.jsonl")
    assert sizes(emulator) == [6, 2]
    assert numbers(rows) == [row["n"] for row in rows] == list(range(6))
    assert [row["attempts"] for row in rows] == [1, 2, 1, 1, 2, 1]
    assert summary.cost_usd == pytest.approx(billed(emulator))
    assert summary.cost_usd == pytest.approx(sum(row["cost_usd"] for row in rows))
    assert summary.batch_ids == tuple(batch["id"] for batch in emulator.batches()[::-1])


async def test_each_chunk_has_its_own_further_attempts(emulator, source, tmp_path):
    emulator.plan(failing(0), failing(3), failing(5))

    summary = await run_file(source, tmp_path / "out.jsonl", max_requests_per_batch=2)

    rows = read_rows(tmp_path / "out.jsonl")
    assert sorted(sizes(emulator)) == [1, 1, 1, 2, 2, 2]
    assert numbers(rows) == list(range(6))
    assert [row["attempts"] for row in rows] == [2, 1, 1, 2, 1, 2]
    first, further = summary.batch_ids[:3], summary.batch_ids[3:]
    requests = {batch["id"]: batch["requests"] for batch in emulator.batches()}
    assert [requests[batch] for batch in first] == [2, 2, 2]
    assert [requests[batch] for batch in further] == [1, 1, 1]


async def test_rows_that_fail_every_time_are_in_no_more_batches_than_allowed(
    emulator, source, tmp_path
):
    emulator.plan(failing(1, batches=None), failing(2))

    summary = await run_file(source, tmp_path / "out.jsonl", max_attempts=3)

    row = read_rows(tmp_path / "out.jsonl")[1]
    assert sizes(emulator) == [6, 2, 1]
    assert (row["status"], row["error_type"]) == ("errored", "overloaded_error")
    assert (row["attempts"], row["cost_usd"]) == (3, 0.0)
    assert dict(summary.statuses) == {"succeeded": 5, "errored": 1}
    assert summary.failures == {row["error"]: 1}
    assert summary.cost_usd == pytest.approx(billed(emulator))


async def test_rows_that_would_fail_again_are_rows_of_the_output(emulator, source, tmp_path):
    emulator.plan(failing(0, "invalid_request_error"))

    await run_file(source, tmp_path / "out.jsonl")

    row = read_rows(tmp_path / "out.jsonl")[0]
    assert sizes(emulator) == [6]
    assert (row["succeeded"], row["error_type"]) == (False, "invalid_request_error")


@pytest.mark.parametrize(("outcome", "batches"), [("canceled", [6]), ("expired", [6, 1])])
async def test_rows_that_were_not_processed_say_so(emulator, source, tmp_path, outcome, batches):
    emulator.plan({"on": "rows", "custom_id": "task-2-*", "outcome": outcome, "batches": None})

    summary = await run_file(source, tmp_path / "out.jsonl")

    assert sizes(emulator) == batches
    assert read_rows(tmp_path / "out.jsonl")[2]["status"] == outcome
    assert dict(summary.statuses) == {"succeeded": 5, outcome: 1}


async def test_a_row_that_the_results_lack_is_missing_and_its_cost_is_not_known(
    emulator, source, tmp_path
):
    emulator.plan({"on": "rows", "custom_id": "task-3-*", "damage": "forget"})

    summary = await run_file(source, tmp_path / "out.jsonl")

    row = read_rows(tmp_path / "out.jsonl")[3]
    assert (row["custom_id"], row["status"], row["cost_usd"]) == ("3", "missing", None)
    assert dict(summary.statuses) == {"succeeded": 5, "missing": 1}
    assert summary.cost_usd is None
    assert "of unknown cost" in str(summary)
    assert summary.tokens > 0


async def test_a_download_that_is_cut_is_begun_anew(emulator, source, tmp_path):
    emulator.plan({"on": "results", "cut_after": 700, "times": 2})

    await run_file(source, tmp_path / "out.jsonl")

    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))
    assert sizes(emulator) == [6]


async def test_more_failed_rows_than_allowed_are_an_error_and_the_output_is_written(
    emulator, source, tmp_path, spools
):
    emulator.plan(failing(1, "invalid_request_error"))

    with pytest.raises(BatchFailedError, match=r"1 of 6 rows failed, more than the 0.0%") as told:
        await run_file(source, tmp_path / "out.jsonl", on_failure="raise")

    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["succeeded"] for row in rows] == [True, False, True, True, True, True]
    assert (told.value.failed, told.value.total) == (1, 6)
    assert told.value.batch_ids == [batch["id"] for batch in emulator.batches()]
    assert str(tmp_path / "out.jsonl") in str(told.value)
    assert list(spools.iterdir()) == []


async def test_as_many_failed_rows_as_are_allowed_are_no_error(emulator, source, tmp_path):
    emulator.plan(failing(1, "invalid_request_error"))

    summary = await run_file(
        source, tmp_path / "out.jsonl", on_failure="raise", failure_threshold=1 / 6
    )

    assert (summary.succeeded, summary.failed) == (5, 1)


async def test_a_replay_that_allows_fewer_attempts_than_were_made_makes_no_more(
    emulator, source, tmp_path
):
    emulator.plan(failing(1, batches=None), {"on": "results", "skip": 2, "status": 400})
    allowed = [4, 1]

    @flow(retries=1)
    async def allows_fewer() -> None:
        await run_file(source, tmp_path / "out.jsonl", max_attempts=allowed.pop(0))

    await allows_fewer()

    row = read_rows(tmp_path / "out.jsonl")[1]
    assert allowed == []
    assert sizes(emulator) == [6, 1, 1]
    assert (row["status"], row["attempts"]) == ("errored", 2)
