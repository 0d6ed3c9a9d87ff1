"""`make live`: the client and the flow against the real API, with two tiny requests.

Needs ANTHROPIC_API_KEY, and costs a small fraction of a cent, which it prints. A batch usually
takes some minutes. With ANTHROPIC_BASE_URL set, it talks to what is there.
"""

from __future__ import annotations

import asyncio
import os

from rich.console import Console

from meshflow_prefect import (
    AnthropicBatchClient,
    BatchRequest,
    BatchResult,
    MeshflowError,
    batch_agent_tasks,
)
from meshflow_prefect.reporting import price

console = Console(highlight=False, soft_wrap=True)


async def live() -> None:
    """Run one request through the client and one through the flow, at the same time."""
    by_client, by_flow = await asyncio.gather(through_client(), through_flow())
    results = [*by_client, *by_flow]
    for result in results:
        console.print(result.custom_id, result.status, repr(result.output or result.error))
    console.print(f"Cost: {price(results)}")


async def through_client() -> list[BatchResult]:
    """Use the client alone."""
    async with AnthropicBatchClient() as client:
        request = BatchRequest("by-client", "Answer with the word: client.", max_tokens=16)
        batch_id = await client.submit([request])
        console.print(f"The client submitted batch {batch_id}.")
        await client.wait(batch_id, poll_interval=10)
        return await client.results(batch_id, custom_ids=[request.custom_id])


async def through_flow() -> list[BatchResult]:
    """Use the flow, which waits in this process because it has no deployment."""
    return await batch_agent_tasks(["Answer with the word: flow."], max_tokens=16, poll_interval=10)


if __name__ == "__main__":
    if not os.environ.get("ANTHROPIC_API_KEY"):
        raise SystemExit("make live talks to the real API: set ANTHROPIC_API_KEY first.")
    try:
        asyncio.run(live())
    except MeshflowError as error:
        raise SystemExit(str(error)) from None
