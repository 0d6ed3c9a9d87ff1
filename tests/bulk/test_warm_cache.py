"""A system prompt that all rows share: sent with the cache, which a batch of one row can warm."""

from __future__ import annotations

import pytest

from meshflow_prefect import BatchRequest, batch_requests
from meshflow_prefect.caching import cache_saving
from tests.support.files import counting, run_file, sizes, write_rows

MODEL = "claude-haiku-4-5-20251001"
LONG = "You are the archivist of a lighthouse. Read with care, and answer in one word. " * 400


@pytest.fixture
def source(tmp_path):
    return write_rows(tmp_path / "in.jsonl", counting(8))


@pytest.mark.anthropic_emulator(concurrent_requests=4)
async def test_with_a_warm_cache_every_other_row_reads_it(emulator, source, tmp_path):
    cold = await run_file(source, tmp_path / "cold.jsonl", system=LONG, model=MODEL)
    assert sizes(emulator) == [8]
    emulator.reset()

    warm = await run_file(
        source, tmp_path / "warm.jsonl", system=LONG, model=MODEL, warm_cache=True
    )

    assert sorted(sizes(emulator)) == [1, 7]
    # Of eight rows, four that run at the same time write the cache; or one does, and seven read.
    assert warm.cache_read_tokens * 4 == cold.cache_read_tokens * 7 > 0
    assert warm.saved_by_cache_usd > max(0.0, cold.saved_by_cache_usd)
    assert warm.cost_usd < cold.cost_usd
    assert warm.rows == warm.succeeded == 8


@pytest.mark.parametrize("system", ["Answer in one word.", ""])
async def test_without_a_prompt_to_cache_there_is_nothing_to_warm(
    emulator, source, tmp_path, system
):
    await run_file(source, tmp_path / "out.jsonl", system=system, model=MODEL, warm_cache=True)

    assert sizes(emulator) == [8]


@pytest.mark.anthropic_emulator(concurrent_requests=4)
async def test_requests_in_memory_warm_the_cache_as_rows_of_files_do(emulator):
    requests = [BatchRequest(f"row-{n}", f"Row {n}.", system=LONG, model=MODEL) for n in range(8)]

    results = await batch_requests(requests, warm_cache=True, poll_interval=0.05)

    assert sorted(sizes(emulator)) == [1, 7]
    reads = [result.usage["cache_read_input_tokens"] for result in results]
    assert reads[0] == 0
    assert min(reads[1:]) > 4_000
    assert cache_saving(results).saved_usd > 0
