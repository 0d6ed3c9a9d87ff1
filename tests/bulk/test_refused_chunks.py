"""A chunk is refused for good when others are paid for: those are collected and written."""

from __future__ import annotations

import pytest

from meshflow_prefect import SubmissionRefusedError
from tests.support.files import counting, read_rows, run_file, sizes, write_rows

REFUSED = {"on": "create", "status": 400, "skip": 1}


@pytest.fixture
def source(tmp_path) -> str:
    return write_rows(tmp_path / "in.jsonl", counting(6))


async def test_what_was_made_before_a_refusal_is_written_and_the_rest_is_sent_by_a_retry(
    emulator, source, tmp_path, spools
):
    output = tmp_path / "out.jsonl"
    emulator.plan(REFUSED)
    job = {"max_requests_per_batch": 2, "job_key": "refused"}

    with pytest.raises(SubmissionRefusedError, match="4 requests of the job were not sent") as told:
        await run_file(source, output, **job)

    (batch,) = emulator.batches()
    assert told.value.batch_ids == [batch["id"]]
    assert emulator.state()["calls"]["POST /v1/messages/batches"] == 2, "nothing further is tried"
    rows = read_rows(output)
    assert [row["succeeded"] for row in rows] == [True] * 2 + [False] * 4
    for row in rows[2:]:
        assert (row["status"], row["error_type"]) == ("canceled", "submission_refused")
        assert (row["attempts"], row["cost_usd"]) == (0, 0.0)
        assert row["error"].startswith("The request was not sent: No batch was made: 400")
    assert list(spools.iterdir()) == []

    summary = await run_file(source, output, overwrite=True, **job)

    assert sizes(emulator) == [2, 2, 2]
    assert (summary.succeeded, summary.unsent) == (6, 0)
    assert read_rows(output)[:2] == rows[:2]


async def test_a_second_attempt_that_is_refused_leaves_the_first_results(
    emulator, source, tmp_path
):
    emulator.plan(REFUSED, {"on": "rows", "custom_id": "task-1-*", "outcome": "errored"})

    with pytest.raises(SubmissionRefusedError, match="the output is written"):
        await run_file(source, tmp_path / "out.jsonl")

    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["succeeded"] for row in rows] == [True, False, True, True, True, True]
    assert rows[1]["error_type"] == "api_error"


async def test_a_refusal_of_the_first_chunk_is_an_error_at_once(emulator, source, tmp_path, spools):
    emulator.plan(REFUSED | {"skip": 0})

    with pytest.raises(SubmissionRefusedError, match=r"^No batch was made: 400[^\n]*$"):
        await run_file(source, tmp_path / "out.jsonl", max_requests_per_batch=2)

    assert emulator.batches() == []
    assert not (tmp_path / "out.jsonl").exists()
