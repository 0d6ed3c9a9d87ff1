"""The flow whose processes the fault tests kill, and a note of the rows it was given."""

from __future__ import annotations

from prefect import flow

from meshflow_prefect import batch_agent_tasks
from tests.deployed.pipelines import note

POLL_INTERVAL = 5.0
NOTED = ("custom_id", "succeeded", "output", "cost_usd")


@flow
async def killed(count: int = 7, per_batch: int = 100_000) -> int:
    note("start")
    prompts = [f"Name the number {position}." for position in range(count)]
    results = await batch_agent_tasks(
        prompts,
        poll_interval=POLL_INTERVAL,
        max_requests_per_batch=per_batch,
        max_requests_in_queue=per_batch,
    )
    # Little enough to be written in one piece: a process that is killed here leaves no torn line.
    rows = [{name: getattr(result, name) for name in NOTED} for result in results]
    note("rows", rows=rows)
    return len(results)
