"""The public API as a type checker sees it; checked by mypy in `make check`, never run."""

from collections.abc import Iterator
from decimal import Decimal

from anthropic.types import MessageParam, OutputConfigParam, TextBlockParam, ToolParam
from pydantic import SecretStr

from meshflow_prefect import (
    ABReport,
    AnthropicBatchClient,
    AnthropicCredentials,
    BatchJob,
    BatchNotEndedError,
    BatchRequest,
    BatchResult,
    Collected,
    EvalReport,
    RateLimitedError,
    Variant,
    batch_agent_tasks,
    cancel_batch,
    collect_results,
    compare_prompts,
    evaluate,
    poll_batch,
    set_price,
    submit_batch,
    total_cost,
)

tool: ToolParam = {"name": "look", "input_schema": {"type": "object"}}
turn: MessageParam = {"role": "user", "content": "Hello."}
block: TextBlockParam = {
    "type": "text",
    "text": "Be brief.",
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
}
output: OutputConfigParam = {"format": {"type": "json_schema", "schema": {"type": "object"}}}


def turns() -> Iterator[MessageParam]:
    """Messages may come from an iterator."""
    yield turn


by_prompt = BatchRequest("a", "Hello.", max_tokens=10, params={"tools": [tool], "top_k": 3})
by_position = BatchRequest("a", "Hello.", "claude-opus-5", "Be brief.", 10)
by_turns = BatchRequest("b", messages=[turn], system=[block])
by_iterator = BatchRequest("c", messages=turns())
with_image = BatchRequest(
    "d",
    messages=[
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "text", "text": "What is this?"},
            ],
        }
    ],
    params={
        "output_config": output,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
        "tool_choice": {"type": "auto"},
        "metadata": {"user_id": "u"},
        "stop_sequences": ["."],
        "inference_geo": "us",
    },
)

# What a batch refuses, a type checker refuses first.
BatchRequest("e", "x", params={"stream": True})  # type: ignore[typeddict-unknown-key]
BatchRequest("e", "x", params={"model": "x"})  # type: ignore[typeddict-unknown-key]
BatchRequest("e", "x", params={"top_k": "many"})  # type: ignore[typeddict-item]
BatchRequest("e", messages=["Hello."])  # type: ignore[list-item]
BatchRequest(7, "x")  # type: ignore[arg-type]
by_prompt.max_tokens = 5  # type: ignore[misc]


async def flow_and_tasks(credentials: AnthropicCredentials) -> list[BatchResult]:
    """The flow returns results, the tasks hand on an id, a job and results."""
    batch_id: str = await submit_batch([by_prompt, by_turns], credentials=credentials)
    job: BatchJob = await poll_batch(batch_id, poll_interval=5, wait_fraction=0.5)
    results: list[BatchResult] = await collect_results(job.batch_id, ["a", "b"])
    same: list[BatchResult] = await collect_results(job.batch_id, [by_prompt, by_turns])
    stopped: bool = await cancel_batch(batch_id)
    more: list[BatchResult] = await batch_agent_tasks(
        ["Hello."], poll_interval=1, credentials="production", params={"tools": [tool]}
    )
    more += await batch_agent_tasks(["Hello."], api_key=SecretStr("…"))
    await batch_agent_tasks([1])  # type: ignore[list-item]
    return results + (same if stopped else more)


async def use_cases() -> tuple[float, str]:
    """Use cases take a path, a URL or rows, and return reports."""
    report: EvalReport = await evaluate(
        "cases.jsonl", grader="json", threshold=0.8, job_key="nightly", poll_interval=5
    )
    report.raise_below_threshold()
    if report.comparison is not None:
        print(report.comparison.change == "worse", report.comparison.previous.score)
    await evaluate([{"prompt": "x"}], grader="fuzzy")  # type: ignore[arg-type]
    await evaluate([{"prompt": "x"}], poll_intervall=5)  # type: ignore[call-arg]
    tested: ABReport = await compare_prompts(
        {"a": "{x}", "b": Variant(prompt="{x}!"), "c": {"system": "Be kind."}},
        [{"x": 1, "expected": "1"}],
        pairs="all",
    )
    cost: float | None = report.spent.cost_usd
    return (cost or report.score), tested.winner


async def client_alone() -> float | None:
    """The client is used without Prefect."""
    async with AnthropicBatchClient(api_key="…", base_url="http://127.0.0.1") as client:
        results: list[BatchResult] = await client.run([by_prompt], poll_interval=1, timeout=60)
        jobs: list[BatchJob] = await client.list(5)
        collected: Collected = await client.collect(jobs[0].batch_id, custom_ids=["a"])
        print(collected.results, collected.unreadable, collected.unknown_ids, collected.absent)
        try:
            async for result in client.iter_results(jobs[0].batch_id):
                text: str = result.output
                print(text, result.status == "missing", result.error_type)
        except BatchNotEndedError as early:
            print(early.message, early.batch_id)
        except RateLimitedError as limited:
            print(limited.retry_after)
        stopped: bool = await client.cancel(jobs[0].batch_id)
        print(stopped, jobs[0].request_counts["succeeded"], jobs[0].ended_at)
    return results[0].cost_usd


def costs(results: list[BatchResult]) -> Decimal | None:
    """Prices are numbers or decimals, the sum is exact or not known."""
    set_price("mine", input=1, output=Decimal("2.5"), cache_read=0.1)
    return total_cost(results)
