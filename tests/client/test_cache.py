"""The prompt cache over the wire: a shared system prompt is written once and read by the others."""

from __future__ import annotations

import pytest

from meshflow_prefect import BatchRequest, total_cost
from meshflow_prefect.caching import cache_saving, first_of_each_prefix, with_cached_system

LONG = "The rules of the harbour. " * 200
SOON = 0.05


def jobs(count: int) -> list[BatchRequest]:
    return [
        BatchRequest(f"row-{n}", f"[[reply: Yes.]] {n}?", "claude-opus-5", LONG)
        for n in range(count)
    ]


async def test_the_saving_is_the_difference_to_the_bill_without_a_cache(client):
    plain = await client.run(jobs(6), poll_interval=SOON)
    cached = await client.run(with_cached_system(jobs(6)), poll_interval=SOON)

    saving = cache_saving(cached)

    assert saving.read_tokens == 5 * saving.written_tokens > 0
    assert saving.saved_usd == pytest.approx(float(total_cost(plain) - total_cost(cached)))
    assert saving.saved_usd > 0
    assert cache_saving(plain).saved_usd == 0.0


async def test_a_request_that_was_answered_before_makes_the_others_read(client):
    requests = with_cached_system(jobs(4))
    first = first_of_each_prefix(requests)
    assert first == [0]

    warm = await client.run([requests[n] for n in first], poll_interval=SOON)
    others = await client.run(requests[1:], poll_interval=SOON)

    assert cache_saving(warm).written_tokens > 0
    assert cache_saving(others).written_tokens == 0
    assert cache_saving(others).read_tokens == 3 * cache_saving(warm).written_tokens
