"""The public API as a type checker sees it; checked by mypy in `make check`, never run."""

from anthropic.types import MessageParam, ToolParam

from meshflow_prefect import (
    AnthropicBatchClient,
    BatchJob,
    BatchRequest,
    BatchResult,
    batch_agent_tasks,
    collect_results,
    poll_batch,
    submit_batch,
)

tool: ToolParam = {"name": "look", "input_schema": {"type": "object"}}
turn: MessageParam = {"role": "user", "content": "Hello."}

by_prompt = BatchRequest("a", "Hello.", max_tokens=10, params={"tools": [tool], "top_k": 3})
by_turns = BatchRequest("b", messages=[turn], system=[{"type": "text", "text": "Be brief."}])


async def flow_and_tasks() -> list[BatchResult]:
    """The flow returns results, the tasks hand on an id, a job and results."""
    batch_id: str = await submit_batch([by_prompt, by_turns])
    job: BatchJob = await poll_batch(batch_id)
    results: list[BatchResult] = await collect_results(job.batch_id, ["a", "b"])
    more: list[BatchResult] = await batch_agent_tasks(["Hello."], poll_interval=1)
    return results + more


async def client_alone() -> float | None:
    """The client is used without Prefect."""
    async with AnthropicBatchClient(api_key="…") as client:
        results: list[BatchResult] = await client.run([by_prompt])
    return results[0].cost_usd
