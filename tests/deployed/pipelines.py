"""Flows of users, as they are deployed in tests. Each step notes its process in a file."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.task_runners import ProcessPoolTaskRunner

from meshflow_prefect import (
    AnthropicCredentials,
    BatchRequest,
    BatchResult,
    batch_agent_tasks,
    collect_results,
    poll_batch,
    submit_batch,
)

POLL_INTERVAL = 15.0


def note(step: str, **facts: Any) -> None:
    """Append a line to the file that the test reads."""
    line = {"step": step, "pid": os.getpid(), "run": str(flow_run.root_flow_run_id), **facts}
    with Path(os.environ["MESHFLOW_TEST_NOTES"]).open("a") as notes:
        notes.write(json.dumps(line) + "\n")


@task(persist_result=True)
def extract(count: int) -> list[str]:
    note("extract")
    return [f"Name the number {position}." for position in range(count)]


@task
def load(results: list[BatchResult]) -> None:
    note("load", rows=[result.to_dict() for result in results])


@flow
async def pipeline(count: int = 5, credentials: str | None = None) -> int:
    note("start")
    results = await batch_agent_tasks(
        extract(count), poll_interval=POLL_INTERVAL, credentials=credentials
    )
    load(results)
    return len(results)


@flow
async def gathered() -> int:
    note("start")
    jobs = (
        batch_agent_tasks([f"{letter} {i}" for i in range(3)], poll_interval=POLL_INTERVAL)
        for letter in "AB"
    )
    for results in await asyncio.gather(*jobs):
        load(results)
    return 2


@flow
async def impatient() -> int:
    """Gives a wait up while its process is about to leave, and waits again."""
    note("start")
    requests = [BatchRequest(f"row-{i}", f"Name the number {i}.") for i in range(3)]
    batch_id = await submit_batch(requests)
    with suppress(TimeoutError):
        async with asyncio.timeout(4):
            await poll_batch(batch_id, poll_interval=POLL_INTERVAL)
    await poll_batch(batch_id, poll_interval=POLL_INTERVAL)
    return len(await collect_results(batch_id, requests))


@flow
async def twice() -> int:
    """Two batches one after the other, of the same content on purpose."""
    for _ in range(2):
        load(await batch_agent_tasks(["Same.", "Same again."], poll_interval=POLL_INTERVAL))
    return 2


@flow
async def composed(timeout_seconds: float = 600.0) -> int:
    """The tasks of the package in a flow of one's own."""
    key = AnthropicCredentials(timeout_seconds=timeout_seconds)
    requests = [BatchRequest(f"row-{i}", f"Describe {i}.") for i in range(4)]
    batch_id = await submit_batch(requests, credentials=key)
    await poll_batch(batch_id, poll_interval=POLL_INTERVAL)
    load(await collect_results(batch_id, requests))
    return 4


@flow
async def middle(letter: str) -> list[BatchResult]:
    return await batch_agent_tasks([f"{letter} {i}" for i in range(2)], poll_interval=POLL_INTERVAL)


@task
async def in_a_task() -> list[BatchResult]:
    return await batch_agent_tasks(["C 0", "C 1"], poll_interval=POLL_INTERVAL)


@flow
async def nested() -> int:
    """Jobs two levels down, at once, and one that is called inside a task."""
    results = await asyncio.gather(middle("A"), middle("B"), in_a_task())
    load([row for rows in results for row in rows])
    return 6


@flow
def submitted() -> int:
    """A flow that is not async: tasks run in threads, two of equal content at once."""
    requests = [BatchRequest(f"row-{i}", f"Describe {i}.") for i in range(2)]
    batch_ids = [future.result() for future in [submit_batch.submit(requests) for _ in range(2)]]
    polls = [poll_batch.submit(batch_id, poll_interval=POLL_INTERVAL) for batch_id in batch_ids]
    for poll in polls:
        poll.result()
    load([row for i in batch_ids for row in collect_results.submit(i, requests).result()])
    return 4


@flow(retries=1)
async def fails_once() -> int:
    """Fails after the wait at its first attempt."""
    results = await batch_agent_tasks(["One.", "Two."], poll_interval=POLL_INTERVAL)
    note("attempt", run_count=flow_run.run_count)
    if flow_run.run_count == 1:
        raise RuntimeError("The first attempt fails after the wait.")
    load(results)
    return len(results)


@flow(retries=1)
async def fails_before() -> int:
    """Fails before it has anything to wait for, at its first attempt."""
    if flow_run.run_count == 1:
        raise RuntimeError("The first attempt fails before the wait.")
    note("start")
    return len(await batch_agent_tasks(["One.", "Two."], poll_interval=POLL_INTERVAL))


@flow
async def hasty() -> int:
    """Asks more often than a process can end and be started again."""
    note("start")
    return len(await batch_agent_tasks(["One.", "Two."], poll_interval=1.0))


@task
def pooled(text: str) -> int:
    return len(asyncio.run(batch_agent_tasks([text], poll_interval=1.0)))


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def in_processes() -> int:
    note("start")
    futures = [pooled.submit(text) for text in ("One.", "Two.")]
    return sum(future.result() for future in futures)


@flow
async def starts_another(deployment: str) -> str:
    """Starts a deployment from a flow, and waits for it."""
    note("parent")
    child = await run_deployment(deployment, poll_interval=1, timeout=300)
    assert child.state is not None
    note("parent-done", child=str(child.id), state=child.state.name)
    return child.state.name


@flow
async def keyed(api_key: str = "", tasks: list[str] | None = None) -> int:
    """Hands a key from its own code to the subflow, which is allowed."""
    key = os.environ["MESHFLOW_TEST_KEY"]
    load(await batch_agent_tasks(tasks or ["One."], api_key=key, poll_interval=POLL_INTERVAL))
    return 1


@flow
async def one_day(count: int = 5) -> int:
    """Looks as often as a worker can wake it."""
    load(await batch_agent_tasks(extract(count), poll_interval=1))
    return count


@flow
async def stays() -> None:
    """Goes on with something else in its process after it has submitted."""
    await submit_batch([BatchRequest("row-0", "Describe 0.")])
    await asyncio.sleep(3600)


@flow
async def gives_up() -> None:
    """Fails after it has submitted."""
    await submit_batch([BatchRequest("row-0", "Describe 0.")])
    raise RuntimeError("The flow fails with a batch under way.")
