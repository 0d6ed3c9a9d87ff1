"""The flows: each reads like the way of the data, requests → submit → wait → collect → results."""

# No `from __future__ import annotations` here: `flow.serve` sends flows to processes by value, and
# annotations that are texts cannot be looked up there.

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast
from uuid import UUID

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import SecretStr, SkipValidation

from meshflow_prefect.cancellation import RUN_RESOURCE, abandoned_by
from meshflow_prefect.chunking import MAX_BYTES, MAX_REQUESTS, task_ids
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import InvalidRequestError, MeshflowError
from meshflow_prefect.failures import OnFailure, check_failures
from meshflow_prefect.flow_type import batch_flow
from meshflow_prefect.jobs import Job, collect_existing
from meshflow_prefect.keys import usable_credentials
from meshflow_prefect.ledger import OnCancel
from meshflow_prefect.models import DEFAULT_MODEL, BatchRequest, BatchResult
from meshflow_prefect.params import MessageParams
from meshflow_prefect.queueing import MAX_IN_QUEUE
from meshflow_prefect.replayed import note_execution
from meshflow_prefect.reporting import log_outcome
from meshflow_prefect.returning import without_search
from meshflow_prefect.tasks import cancel_batch
from meshflow_prefect.terms import Terms


def _are_of_tasks(results: Sequence[BatchResult], asked: Mapping[str, Any]) -> bool:
    if asked["batch_ids"] is not None:
        return True
    requests = _requests(
        asked["tasks"],
        asked["agent_model"],
        asked["system_prompt"],
        asked["max_tokens"],
        asked["params"] or {},
    )
    terms = Terms.among(asked, key=AnthropicCredentials())
    ids = Job.of(requests, terms, names_itself=True).custom_ids
    return {result.custom_id for result in results} == set(ids)


def _are_of_requests(results: Sequence[BatchResult], asked: Mapping[str, Any]) -> bool:
    return [each.custom_id for each in results] == [each.custom_id for each in asked["requests"]]


@batch_flow(_are_of_tasks, name="batch-agent-tasks", persist_result=True)
async def batch_agent_tasks(
    # Checked by BatchRequest: Prefect's own check would log every task when one is not a text.
    tasks: Annotated[Sequence[str], SkipValidation] = (),
    agent_model: str = DEFAULT_MODEL,
    system_prompt: str = "You are a helpful assistant.",
    max_tokens: int = 1024,
    api_key: str | SecretStr = "",
    poll_interval: float = 30.0,
    *,
    credentials: AnthropicCredentials | str | None = None,
    params: Mapping[str, Any] | None = None,
    output_type: Annotated[Any, SkipValidation] = None,
    cache_system: bool = True,
    warm_cache: bool = False,
    wait_fraction: float = 0.25,
    timeout: float | None = None,
    max_attempts: int = 2,
    on_failure: OnFailure = "return",
    failure_threshold: float = 0.0,
    on_cancel: OnCancel = "cancel_batches",
    job_key: str = "",
    batch_ids: Sequence[str] | None = None,
    if_unknown: str = "stop",
    max_requests_in_queue: int = MAX_IN_QUEUE,
    max_requests_per_batch: int = MAX_REQUESTS,
    max_bytes_per_batch: int = MAX_BYTES,
) -> list[BatchResult]:
    """Run each task as one request of a batch, at half price, within 24 hours.

    More tasks than one batch holds (100,000, or 256 MB) go into several.

    In a deployed run (as the root, or as a subflow of any flow that is deployed) the process ends
    while Anthropic works, and the orchestrator starts the run again. Elsewhere it waits in the
    process. Whatever happens in between (a retry, a crash, a redeploy, another worker, lost result
    storage, a lost answer), the batch that is already paid for is found again and collected.

    Args:
        tasks: The prompts, at least one.
        agent_model: The model that answers.
        system_prompt: The system prompt of every request; may be empty.
        max_tokens: The most tokens that each reply may have.
        api_key: A key, for direct calls only. A deployed run refuses it, because Prefect stores
            parameters in clear: use `credentials` or the environment of the worker.
        poll_interval: Seconds between two checks, and the soonest that a suspended run wakes.
        credentials: An AnthropicCredentials block, or the name of one. Left out, the environment's
            key is used.
        params: Other Messages parameters of every request, such as tools or thinking.
        output_type: A Pydantic model, a JSON Schema, or the import path `package.module:Name` of
            one (which a deployment can store). Each reply is asked for in this form, and checked:
            `parsed` of a result holds it. A reply of another form is a failed row, worth another
            attempt, and its cost is part of the row's.
        cache_system: Whether a system prompt that is long enough for the model, and is shared by
            three requests or more, is sent with the 1-hour prompt cache. In a batch that is best
            effort, and writing costs twice the input: `warm_cache` makes sure.
        warm_cache: Whether one request with each such system prompt goes first, in a batch of its
            own, so that all others read the cache. It takes as much longer.
        wait_fraction: A suspended run wakes after this fraction of the time it has already waited.
        timeout: Seconds from the creation of a batch, by the clock on the wall, after which the run
            fails; the batch goes on, and a retry collects it. None: until it ends (24 hours).
        max_attempts: In how many batches a request may be sent. Only requests that met a passing
            error (`api_error`, overloaded, timeout, rate limit) or expired are sent again.
        on_failure: What happens when requests have failed in the end: `return` them as results, or
            `raise` a `BatchFailedError` that holds all results.
        failure_threshold: With `raise`: the share of requests that may fail, from 0.0.
        on_cancel: Whether a cancellation of the run cancels its batches, or lets them `keep` going.
        job_key: Any text that names the job across runs: a later run with the same tasks and key
            collects what an earlier one submitted, for 29 days.
        batch_ids: Collect these batches, which were created elsewhere, and submit nothing; instead
            of `tasks`. Cancelling the run leaves them alone.
        if_unknown: What to do where the answer to a create call was lost and it cannot be known
            whether there is a batch: `stop` raises, `submit` sends again, a batch id adopts it.
        max_requests_in_queue: How many requests of the job may wait at Anthropic at once. What
            does not fit is submitted when earlier batches have ended.
        max_requests_per_batch: The most requests of one batch.
        max_bytes_per_batch: The most bytes of one batch.

    Returns:
        Exactly one result for each task, in the order of `tasks`. A request that failed is a
        result with `succeeded` False. With `batch_ids`: the rows of each batch in turn, by the
        numbers in their custom ids.

    Raises:
        InvalidRequestError: a task or a parameter breaks a rule; nothing was submitted.
        CredentialsError: there is no key, it was refused, or it was given to a deployed run.
        JobKeyError: the job key was used for other tasks; nothing was submitted.
        SubmissionRefusedError: Anthropic refused the batch for good; none was made.
        SubmissionUnknownError: the answer was lost, and which batch is its cannot be known.
        BatchWaitTimeoutError: `timeout` has passed; the batch goes on.
        BatchNotFoundError: the batch was deleted, or one of `batch_ids` does not exist.
        BatchFailedError: more requests failed than `failure_threshold` allows.
        ResultsLostError: the call had ended when the flow ran before, what it returned cannot be
            read any more, and what it asks for now was not submitted; nothing was.
    """
    given = locals()
    note_execution()
    terms = Terms.among(given, key=await usable_credentials(api_key, credentials))
    if batch_ids is not None:
        made = _checked_ids(batch_ids, tasks)
        return await _judged(made, await collect_existing(made, terms), terms)
    requests = _requests(tasks, agent_model, system_prompt, max_tokens, params or {})
    # In a thread: what takes seconds must not stop the other jobs of the event loop.
    job = await asyncio.to_thread(Job.of, requests, terms, names_itself=True)
    return await _judged(job.batch_ids, await job.run(), terms)


@batch_flow(_are_of_requests, name="batch-requests", persist_result=True)
async def batch_requests(
    requests: Annotated[Sequence[BatchRequest], SkipValidation],
    *,
    credentials: AnthropicCredentials | str | None = None,
    output_type: Annotated[Any, SkipValidation] = None,
    cache_system: bool = True,
    warm_cache: bool = False,
    poll_interval: float = 30.0,
    wait_fraction: float = 0.25,
    timeout: float | None = None,
    max_attempts: int = 2,
    on_failure: OnFailure = "return",
    failure_threshold: float = 0.0,
    on_cancel: OnCancel = "cancel_batches",
    job_key: str = "",
    if_unknown: str = "stop",
    max_requests_in_queue: int = MAX_IN_QUEUE,
    max_requests_per_batch: int = MAX_REQUESTS,
    max_bytes_per_batch: int = MAX_BYTES,
) -> list[BatchResult]:
    """Run requests of any kind (several models, whole conversations, tools) as one job.

    The general form of `batch_agent_tasks`, for a call from a flow of your own: it waits, suspends
    and recovers in the same way, takes the same keywords, and raises the same errors.

    Args:
        requests: At least one, of any number; more than one batch holds go into several. Their
            custom ids must be unique, and the same at every replay: a row number, not a random
            one.
        credentials: See `batch_agent_tasks`, as for all that follow.
        output_type: What each reply has to be.
        cache_system: Whether shared system prompts are cached.
        warm_cache: Whether a small batch goes first to fill the cache.
        poll_interval: Seconds.
        wait_fraction: Of the time already waited.
        timeout: Seconds, from the creation of each batch.
        max_attempts: In how many batches a request may be sent.
        on_failure: `return` or `raise`.
        failure_threshold: The share of requests that may fail.
        on_cancel: `cancel_batches` or `keep`.
        job_key: Names the job across runs.
        if_unknown: `stop`, `submit`, or the id of a batch.
        max_requests_in_queue: How many requests may wait at Anthropic at once, and so be in a
            batch.
        max_requests_per_batch: The most requests of one batch.
        max_bytes_per_batch: The most bytes of one batch.

    Returns:
        Exactly one result for each request, in the order of `requests`.
    """
    given = locals()
    note_execution()
    terms = Terms.among(given, key=await usable_credentials("", credentials))
    job = await asyncio.to_thread(Job.of, list(requests), terms, names_itself=False)
    return await _judged(job.batch_ids, await job.run(), terms)


async def _judged(
    batch_ids: Sequence[str], results: list[BatchResult], terms: Terms
) -> list[BatchResult]:
    """Say what came out, and return it, unless more has failed than the terms allow."""
    log_outcome(get_run_logger(), batch_ids, results)
    check_failures(
        results,
        batch_ids=batch_ids,
        on_failure=terms.on_failure,
        threshold=terms.failure_threshold,
    )
    return await without_search(results)


@flow(name="cancel-batches", flow_run_name="cancel the batches of {flow_run_id}")
async def cancel_batches(flow_run_id: str) -> list[str]:
    """Cancel the batches of a flow run that was cancelled, as its `on_cancel` asks.

    A suspended run has no process that could do it. `prefect.yaml` deploys this flow with a
    trigger on the event `prefect.flow-run.Cancelled`. Twice is fine, and a run that has submitted
    nothing has nothing to cancel.

    Args:
        flow_run_id: The cancelled run, also in the form `prefect.flow-run.<id>` of an event.

    Returns:
        The batches that Anthropic was asked to cancel; those that had ended are not among them.

    Raises:
        MeshflowError: a batch cannot be cancelled, for the first reason that came: it was deleted,
            say. All others were asked for.
        SubmissionUnknownError: the run was cancelled amid a create call, and what that may have
            made goes on: the error names it. All others were asked for.
    """
    cancelled: list[str] = []
    abandoned = await abandoned_by(UUID(flow_run_id.removeprefix(RUN_RESOURCE)))
    failure: MeshflowError | None = None
    for lost in abandoned.lost:
        get_run_logger().warning("Not cancelled: %s", lost)
        failure = failure or lost
    for batch_id, key in abandoned.batches:
        try:
            if await cancel_batch(batch_id, credentials=key):
                cancelled.append(batch_id)
        except MeshflowError as error:
            # What goes on is billed: the others are cancelled all the same.
            get_run_logger().warning("Not cancelled: %s", error)
            failure = failure or error
    if failure is not None:
        raise failure
    return cancelled


def _requests(
    tasks: Sequence[str], model: str, system: str, max_tokens: int, params: Mapping[str, Any]
) -> list[BatchRequest]:
    """Return a request for each task, under ids that are as long as those they get in the end."""
    if isinstance(tasks, str | Mapping):
        raise InvalidRequestError(f"tasks: expected a list of texts, got a {type(tasks).__name__}.")
    if max_tokens < 1:
        raise InvalidRequestError(f"max_tokens: must be at least 1, got {max_tokens}.")
    tasks = list(tasks)
    if not tasks:
        raise InvalidRequestError("tasks: the list is empty; there is nothing to submit.")
    for position, task in enumerate(tasks):
        if not isinstance(task, str) or not task.strip():
            got = repr(task) if isinstance(task, str) else type(task).__name__
            raise InvalidRequestError(f"tasks[{position}]: expected a non-empty text, got {got}.")
    more = cast("MessageParams", params)
    return [
        BatchRequest(custom_id, task, model, system, max_tokens, params=more)
        for custom_id, task in zip(task_ids("", len(tasks)), tasks, strict=True)
    ]


def _checked_ids(batch_ids: Sequence[str], tasks: Sequence[str]) -> Sequence[str]:
    if len(tasks):
        raise InvalidRequestError(
            "Give `tasks` or `batch_ids`, not both: batches that exist are not submitted again."
        )
    if isinstance(batch_ids, str) or not batch_ids:
        raise InvalidRequestError(f"batch_ids: expected a list of ids, got {batch_ids!r}.")
    if len(set(batch_ids)) < len(batch_ids):
        raise InvalidRequestError("batch_ids: an id occurs twice.")
    return batch_ids
