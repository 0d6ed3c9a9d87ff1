"""Entrypoint of the deployment `prompt-ab-test`: prompts compared on the same cases."""

from typing import Any, Literal

from prefect import flow

from meshflow_prefect import ABReport, compare_prompts


@flow(name="prompt-ab-test", persist_result=True)
async def prompt_ab_test(
    variants: dict[str, str | dict[str, Any]],
    dataset: str,
    name: str = "prompts",
    model: str = "claude-haiku-4-5-20251001",
    max_tokens: int = 1024,
    grader: Literal["exact", "regex", "json", "judge"] = "exact",
    rubric: str = "",
    judge_model: str = "",
    question: str = "",
    pairs: Literal["first", "all"] = "first",
    credentials: str | None = None,
    poll_interval: float = 30.0,
    timeout: float | None = None,
    max_attempts: int = 2,
    on_cancel: Literal["cancel_batches", "keep"] = "cancel_batches",
) -> ABReport:
    """Ask the same cases in two or more ways, and say which is better, if that can be said.

    Args:
        variants: By their names: the template of a prompt, or `prompt`, `system`, `model`,
            `max_tokens` and `params`.
        dataset: A path or URL of JSON lines, CSV or Parquet, with the columns of all prompts, and
            `expected` or `rubric`.
        name: Names the test, and its artifact.
        model: The model of the variants that do not name one.
        max_tokens: The most tokens of a reply, of the variants that do not say.
        grader: How replies are compared; `judge` sees both, in both orders.
        rubric: What a judge goes by, for rows without a `rubric`.
        judge_model: The model that judges.
        question: A template of what the judge is told to have been asked.
        pairs: Each variant against the `first`, or `all` against each other.
        credentials: The name of an AnthropicCredentials block.
        poll_interval: Seconds; the soonest that the suspended run wakes.
        timeout: Seconds, from the creation of each batch.
        max_attempts: In how many batches a request may be sent.
        on_cancel: What happens to the batches of a cancelled run.
    """
    return await compare_prompts(
        variants,
        dataset,
        name=name,
        model=model,
        max_tokens=max_tokens,
        grader=grader,
        rubric=rubric,
        judge_model=judge_model,
        question=question,
        pairs=pairs,
        credentials=credentials,
        poll_interval=poll_interval,
        timeout=timeout,
        max_attempts=max_attempts,
        on_cancel=on_cancel,
    )
