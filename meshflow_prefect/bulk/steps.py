"""The steps of a file job as Prefect tasks. None is cached: what is done is seen on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from meshflow_prefect.activity import busy
from meshflow_prefect.bulk.assembly import ChunkResults, Endings, Shared, assemble
from meshflow_prefect.bulk.harvest import Harvest, Results, Tally
from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.bulk.room import room_in
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.models import Collected
from meshflow_prefect.reading.rows import RowSource
from meshflow_prefect.reporting import counted, reading_faults
from meshflow_prefect.resting import resting
from meshflow_prefect.sinks import open_sink
from meshflow_prefect.waiting import collect_patiently

_UNCACHED: Mapping[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@task(name="read-source", **_UNCACHED)
async def read_source(
    source: RowSource, how: Spooling, place: Workplace, progress: Progress
) -> Plan:
    """Make requests of all rows, and return what the spool holds."""
    with busy():
        plan = await how.written(source, place.spool, progress)
    get_run_logger().info(
        "%s of %s: %s in %s, %s bytes.",
        counted(plan.rows, "row"),
        source.url,
        counted(plan.requests, "request"),
        counted(len(plan.chunks), "chunk"),
        f"{plan.size:,}",
    )
    return plan


@task(name="collect-chunk", task_run_name="collect {batch_id}", **_UNCACHED)
async def collect_chunk(
    batch_id: str,
    begin: Callable[[], Harvest],
    *,
    credentials: AnthropicCredentials,
    as_they_come: bool = False,
) -> Tally:
    """Bring the results of an ended batch to disk, and return their sums.

    `begin` begins a harvest anew. `as_they_come` takes the rows that there are, for a batch which
    is not known to hold exactly these requests.
    """
    async with credentials.get_client() as anthropic, resting() as rest:
        harvest: Harvest | None = None

        async def read() -> Collected:
            nonlocal harvest
            if harvest is not None:
                harvest.abandon()
            harvest = begin()
            with room_in(harvest.directory):
                if not as_they_come:
                    return await anthropic.collect_each(batch_id, harvest.positions, harvest.take)
                async for result in anthropic.iter_results(batch_id):
                    if result.custom_id in harvest.positions:
                        harvest.take([result])
            return Collected([])

        try:
            collected = await collect_patiently(batch_id, read, anthropic, rest)
            assert harvest is not None  # noqa: S101  (read has begun it)
            with busy(), room_in(harvest.directory):
                tally = await asyncio.to_thread(
                    harvest.close, batch_id, is_whole=collected.is_whole
                )
        finally:
            if harvest is not None:
                harvest.abandon()
    for words in reading_faults(collected):
        get_run_logger().warning("Batch %s: %s", batch_id, words)
    return tally


@task(name="write-output", task_run_name="write output", **_UNCACHED)
async def write_output(
    destination: str,
    plan: Plan,
    place: Workplace,
    progress: Progress,
    *,
    overwrite: bool,
    refusal: str | None = None,
) -> Endings:
    """Write one row for each input row, in their order, and return how they have ended.

    `refusal` says why requests were not sent, where it was not for what they cost.
    """

    def write() -> Endings:
        progress.rows_written = 0
        opened: Callable[[int], list[Results]] = partial(place.open_results, plan)
        with (
            ChunkResults(opened, refusal=refusal) as results,
            open_sink(destination, schema=plan.columns, overwrite=overwrite) as sink,
        ):
            shared = Shared() if plan.duplicates else None
            return assemble(place.rows, results, sink, progress, shared)

    with busy():
        return await asyncio.to_thread(write)
