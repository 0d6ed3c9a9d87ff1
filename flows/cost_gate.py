"""Entrypoint of the deployment `cost-gate`: what a set costs, and a run that fails when it grew."""

from typing import Any, Literal

from prefect import flow

from meshflow_prefect import CostComparison, compare_cost


@flow(name="cost-gate", persist_result=True)
async def cost_gate(
    source: str,
    baseline: str = "variable:cost_gate",
    update_baseline: bool = False,
    tolerance: float | None = 0.1,
    token_tolerance: float | None = 0.1,
    failure_tolerance: float | None = 0.0,
    prompt: str | None = None,
    system: str = "",
    model: str = "claude-haiku-4-5-20251001",
    max_tokens: int = 1024,
    params: dict[str, Any] | None = None,
    output_type: dict[str, Any] | str | None = None,
    credentials: str | None = None,
    poll_interval: float = 30.0,
    timeout: float | None = None,
    max_attempts: int = 2,
    on_cancel: Literal["cancel_batches", "keep"] = "cancel_batches",
) -> CostComparison:
    """Run a set, and fail when it takes more than the baseline allows.

    The first run needs `update_baseline`. The report (an artifact) is written before the run fails.

    Args:
        source: A path or URL of JSON lines, CSV or Parquet.
        baseline: `variable:NAME`, or a path or URL of a `.json` file that every worker sees.
        update_baseline: Store this run as the baseline, instead of comparing it.
        tolerance: How much more it may cost: 0.1 is 10 %. None: any sum.
        token_tolerance: The same of input tokens, and of output tokens.
        failure_tolerance: Which share of the rows may fail beyond those that failed before.
        prompt: A template, filled from the columns. None: the rows' own `messages` or `prompt`.
        system: The system prompt, a template too.
        model: The model that answers.
        max_tokens: The most tokens of each reply.
        params: Other Messages parameters.
        output_type: What each reply has to be: a JSON Schema, or an import path.
        credentials: The name of an AnthropicCredentials block.
        poll_interval: Seconds; the soonest that the suspended run wakes.
        timeout: Seconds, from the creation of each batch.
        max_attempts: In how many batches a row may be sent.
        on_cancel: What happens to the batches of a cancelled run.
    """
    return await compare_cost(
        source,
        baseline=baseline,
        update_baseline=update_baseline,
        tolerance=tolerance,
        token_tolerance=token_tolerance,
        failure_tolerance=failure_tolerance,
        prompt=prompt,
        system=system,
        model=model,
        max_tokens=max_tokens,
        params=params,
        output_type=output_type,
        credentials=credentials,
        poll_interval=poll_interval,
        timeout=timeout,
        max_attempts=max_attempts,
        on_cancel=on_cancel,
    )
