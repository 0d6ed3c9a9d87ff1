"""Equal requests are sent once where that is asked for, and every row gets its result."""

from __future__ import annotations

import pytest

from tests.support.files import PROMPT, numbers, read_rows, run_file, sizes, write_rows

REPEATED = [0, 1, 0, 2, 1, 0, 3, 3, 0]


@pytest.fixture
def source(tmp_path) -> str:
    return write_rows(tmp_path / "in.jsonl", [{"n": n, "k": i} for i, n in enumerate(REPEATED)])


async def test_each_request_is_in_one_batch_once_and_every_row_has_its_result(
    emulator, source, tmp_path
):
    summary = await run_file(source, tmp_path / "out.jsonl", deduplicate=True, include_input=True)

    rows = read_rows(tmp_path / "out.jsonl")
    assert sizes(emulator) == [4]
    assert numbers(rows) == REPEATED
    assert [row["k"] for row in rows] == list(range(len(REPEATED)))
    assert [row["custom_id"] for row in rows] == [str(n) for n in range(len(REPEATED))]
    assert (summary.rows, summary.requests, summary.duplicates) == (9, 4, 5)
    # What is billed once is in one row.
    assert [row["tokens"] > 0 for row in rows] == [
        n not in REPEATED[:i] for i, n in enumerate(REPEATED)
    ]
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(summary.cost_usd)
    assert dict(summary.statuses) == {"succeeded": 9}


async def test_the_saving_is_what_the_rows_would_have_cost(source, tmp_path):
    once = await run_file(source, tmp_path / "once.jsonl", deduplicate=True)
    each = await run_file(source, tmp_path / "each.jsonl")

    assert once.cost_usd < each.cost_usd
    assert once.saved_by_deduplication_usd == pytest.approx(once.cost_usd / 4 * 5)
    assert once.saved_by_deduplication_usd == pytest.approx(each.cost_usd - once.cost_usd, rel=0.3)
    assert each.saved_by_deduplication_usd == 0


async def test_a_duplicate_may_be_chunks_away(emulator, tmp_path):
    numbered = [*range(12), 0, 5, 11]
    source = write_rows(tmp_path / "in.jsonl", [{"n": n} for n in numbered])

    await run_file(source, tmp_path / "out.jsonl", deduplicate=True, max_requests_per_batch=1)

    assert sizes(emulator) == [1] * 12
    assert numbers(read_rows(tmp_path / "out.jsonl")) == numbered


async def test_a_failed_request_fails_every_row_that_shares_it_and_is_retried_once(
    emulator, source, tmp_path
):
    emulator.plan({"on": "rows", "custom_id": "task-0-*", "outcome": "errored"})

    summary = await run_file(source, tmp_path / "out.jsonl", deduplicate=True)

    rows = read_rows(tmp_path / "out.jsonl")
    assert sizes(emulator) == [4, 1]
    assert [row["attempts"] for row in rows] == [2 if n == 0 else 1 for n in REPEATED]
    assert numbers(rows) == REPEATED
    assert summary.failed == 0


async def test_equal_requests_in_anthropics_format_keep_an_id_each(emulator, tmp_path):
    params = {
        "model": "claude-opus-5",
        "max_tokens": 60,
        "messages": [{"role": "user", "content": PROMPT.format(n=1)}],
    }
    rows = [{"custom_id": name, "params": params} for name in ("a", "b")]

    await run_file(
        write_rows(tmp_path / "in.jsonl", rows),
        tmp_path / "out.jsonl",
        prompt=None,
        deduplicate=True,
    )

    found = read_rows(tmp_path / "out.jsonl")
    assert sizes(emulator) == [1]
    assert [row["custom_id"] for row in found] == ["a", "b"]
    assert found[0]["output"] == found[1]["output"]
