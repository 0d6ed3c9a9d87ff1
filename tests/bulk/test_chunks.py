"""More than one batch or the queue holds goes into several, a few at a time, in input order."""

from __future__ import annotations

from datetime import datetime

import pytest

from meshflow_prefect.errors import InvalidRequestError
from tests.support.files import counting, numbers, read_rows, run_file, sizes, write_rows


def most_waiting(emulator) -> int:
    """Return the most requests that waited at once, by the times of their batches."""
    spans = [
        (
            datetime.fromisoformat(b["created_at"]),
            datetime.fromisoformat(b["ends_at"]),
            b["requests"],
        )
        for b in emulator.batches()
    ]
    return max(
        sum(requests for start, end, requests in spans if start <= moment < end)
        for moment, _, _ in spans
    )


async def test_a_limit_of_requests_makes_batches_of_so_many(emulator, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(23))

    summary = await run_file(source, tmp_path / "out.jsonl", max_requests_per_batch=10)

    assert sizes(emulator) == [10, 10, 3]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(23))
    assert summary.batch_ids == tuple(batch["id"] for batch in emulator.batches()[::-1])


@pytest.mark.anthropic_emulator(batch_seconds=0.2, maximum_bytes=2_000)
async def test_a_limit_of_bytes_is_kept_to_the_byte(emulator, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(40))

    await run_file(source, tmp_path / "out.jsonl", max_bytes_per_batch=2_000)

    assert len(sizes(emulator)) > 2
    assert sum(sizes(emulator)) == 40
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(40))


@pytest.mark.anthropic_emulator(batch_seconds=3, queue_limit=20)
async def test_no_more_requests_wait_than_may(emulator, tmp_path):
    """The emulator refuses what is above its limit, and would be asked once more."""
    source = write_rows(tmp_path / "in.jsonl", counting(50))

    await run_file(
        source, tmp_path / "out.jsonl", max_requests_per_batch=10, max_requests_in_queue=20
    )

    assert sizes(emulator) == [10] * 5
    assert 10 < most_waiting(emulator) <= 20
    assert emulator.state()["calls"]["POST /v1/messages/batches"] == 5
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(50))


async def test_chunks_that_all_fit_are_submitted_before_one_has_ended(emulator, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(8))

    await run_file(source, tmp_path / "out.jsonl", max_requests_per_batch=2)

    calls = [call["endpoint"] for call in emulator.calls() if "batches" in call["endpoint"]]
    creates = [n for n, call in enumerate(calls) if call == "POST /v1/messages/batches"]
    polls = [n for n, call in enumerate(calls) if call == "GET /v1/messages/batches/{id}"]
    assert len(creates) == 4
    assert creates[-1] < polls[0]


async def test_no_chunk_is_larger_than_the_queue(emulator, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(6))

    await run_file(
        source, tmp_path / "out.jsonl", max_requests_per_batch=4, max_requests_in_queue=2
    )

    assert sizes(emulator) == [2, 2, 2]
    assert most_waiting(emulator) == 2
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_requests_in_queue": 0},
        {"max_requests_per_batch": 0},
        {"max_requests_per_batch": 100_001},
        {"max_bytes_per_batch": 0},
        {"max_attempts": 0},
        {"failure_threshold": 1.0},
        {"max_cost_usd": -0.01},
        {"max_cost_usd": float("nan")},
    ],
)
async def test_terms_that_mean_nothing_are_refused_before_anything_is_sent(
    emulator, tmp_path, wrong
):
    source = write_rows(tmp_path / "in.jsonl", counting(2))

    with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
        await run_file(source, tmp_path / "out.jsonl", **wrong)

    assert emulator.batches() == []
    assert not (tmp_path / "out.jsonl").exists()
