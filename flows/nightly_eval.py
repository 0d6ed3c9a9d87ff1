"""Entrypoint of the deployment `nightly-eval`: a dataset graded, and a run that fails below par."""

from typing import Literal

from prefect import flow

from meshflow_prefect import EvalReport, evaluate


@flow(name="nightly-eval", persist_result=True)
async def nightly_eval(
    dataset: str,
    name: str = "nightly",
    model: str = "claude-haiku-4-5-20251001",
    prompt: str = "{prompt}",
    system: str = "",
    max_tokens: int = 1024,
    grader: Literal["exact", "regex", "json", "judge"] = "exact",
    rubric: str = "",
    judge_model: str = "",
    threshold: float | None = None,
    history: str | None = "variable:nightly_eval",
    credentials: str | None = None,
    poll_interval: float = 30.0,
    timeout: float | None = None,
    max_attempts: int = 2,
    on_cancel: Literal["cancel_batches", "keep"] = "cancel_batches",
) -> EvalReport:
    """Grade a model on a dataset, compare with the last runs, and fail below the threshold.

    The history and the report (an artifact) are written before the run fails.

    Args:
        dataset: A path or URL of JSON lines, CSV or Parquet, with the columns of the prompt, and
            `expected` or `rubric`.
        name: Names the eval in its history, and its artifact.
        model: The model that answers.
        prompt: A template, filled from the columns.
        system: The system prompt, a template too.
        max_tokens: The most tokens of each reply.
        grader: How replies are graded.
        rubric: What a judge goes by, for rows without a `rubric`.
        judge_model: The model that judges.
        threshold: The lowest score that passes, from 0.0 to 1.0.
        history: `variable:NAME`, or a path or URL of a `.json` file that every worker sees.
        credentials: The name of an AnthropicCredentials block.
        poll_interval: Seconds; the soonest that the suspended run wakes.
        timeout: Seconds, from the creation of each batch.
        max_attempts: In how many batches a request may be sent.
        on_cancel: What happens to the batches of a cancelled run.
    """
    report = await evaluate(
        dataset,
        name=name,
        model=model,
        prompt=prompt,
        system=system,
        max_tokens=max_tokens,
        grader=grader,
        rubric=rubric,
        judge_model=judge_model,
        threshold=threshold,
        history=history,
        credentials=credentials,
        poll_interval=poll_interval,
        timeout=timeout,
        max_attempts=max_attempts,
        on_cancel=on_cancel,
    )
    report.raise_below_threshold()
    return report
