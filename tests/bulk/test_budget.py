"""What a job may cost bounds it twice: by its estimate, and by what has been spent."""

from __future__ import annotations

import pytest

from tests.support.files import counting, numbers, read_rows, run_file, sizes, write_rows

SEARCHING = {
    "prompt": "[[search]] Name the number {n}.",
    "params": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "max_tokens": 60,
    "max_requests_per_batch": 2,
}
"""A search costs US$ 0.01, which no estimate knows beforehand."""


@pytest.fixture
def source(tmp_path) -> str:
    return write_rows(tmp_path / "in.jsonl", counting(6))


async def test_when_so_much_is_spent_no_further_chunk_is_sent(emulator, source, tmp_path, spools):
    summary = await run_file(
        source, tmp_path / "out.jsonl", max_cost_usd=0.03, max_requests_in_queue=2, **SEARCHING
    )

    rows = read_rows(tmp_path / "out.jsonl")
    assert sizes(emulator) == [2, 2]
    assert [row["succeeded"] for row in rows] == [True] * 4 + [False] * 2
    for row in rows[4:]:
        assert (row["status"], row["error_type"]) == ("canceled", "max_cost_reached")
        assert (row["attempts"], row["cost_usd"]) == (0, 0.0)
        assert "max_cost_usd" in row["error"]
    assert (summary.unsent, summary.requests, summary.rows) == (2, 6, 6)
    assert 0.03 <= summary.cost_usd < 0.05
    assert list(spools.iterdir()) == []


async def test_chunks_that_wait_already_are_collected(emulator, source, tmp_path):
    summary = await run_file(source, tmp_path / "out.jsonl", max_cost_usd=0.03, **SEARCHING)

    assert sizes(emulator) == [2, 2, 2]
    assert (summary.succeeded, summary.unsent) == (6, 0)
    assert summary.cost_usd > 0.06


async def test_a_further_attempt_is_not_made_either_and_the_first_result_stands(
    emulator, source, tmp_path
):
    emulator.plan({"on": "rows", "custom_id": "task-1-*", "outcome": "errored"})

    summary = await run_file(
        source,
        tmp_path / "out.jsonl",
        max_cost_usd=0.03,
        **{**SEARCHING, "max_requests_per_batch": 6},
    )

    row = read_rows(tmp_path / "out.jsonl")[1]
    assert sizes(emulator) == [6]
    assert (row["status"], row["error_type"], row["attempts"]) == ("errored", "api_error", 1)
    assert (summary.unsent, summary.failed) == (0, 1)


async def test_a_budget_that_is_enough_changes_nothing(emulator, source, tmp_path):
    summary = await run_file(source, tmp_path / "out.jsonl", max_cost_usd=1)

    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))
    assert (sizes(emulator), summary.unsent) == ([6], 0)


@pytest.mark.parametrize(("share", "attempts"), [(1.9, 1), (2.1, 2)])
async def test_what_was_paid_for_is_not_tried_again_where_that_would_cost_too_much(
    emulator, source, tmp_path, share, attempts
):
    """Replies that are not of the output type are billed, and so are the next ones."""
    emulator.plan({"on": "rows", "outcome": "succeeded", "text": "No JSON. " * 60, "batches": None})
    asked = {"max_tokens": 60, "output_type": {"type": "object", "properties": {}}}
    once = await run_file(source, tmp_path / "once.jsonl", max_attempts=1, **asked)
    assert once.cost_usd is not None

    summary = await run_file(
        source, tmp_path / "out.jsonl", max_cost_usd=once.cost_usd * share, **asked
    )

    rows = read_rows(tmp_path / "out.jsonl")
    assert sizes(emulator) == [6] * (1 + attempts)
    assert {(row["error_type"], row["attempts"]) for row in rows} == {("invalid_output", attempts)}
    assert summary.cost_usd == pytest.approx(once.cost_usd * attempts)
    assert (summary.failed, summary.unsent) == (6, 0)
