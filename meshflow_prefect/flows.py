"""The flows: each reads like the way of the data, requests → submit → wait → collect → results."""

# No `from __future__ import annotations` here: `flow.serve` sends flows to processes by value, and
# annotations that are texts cannot be looked up there.

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, cast
from uuid import UUID

from prefect import flow, get_client
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import SecretStr, SkipValidation

from meshflow_prefect.attempts import merge, worth_another_try
from meshflow_prefect.cancellation import RUN_RESOURCE, batches_to_cancel
from meshflow_prefect.chunking import make_chunk, task_ids
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.failures import OnFailure, check_failures, check_policy
from meshflow_prefect.flow_type import batch_flow
from meshflow_prefect.keys import usable_credentials
from meshflow_prefect.ledger import OnCancel
from meshflow_prefect.ledgers import entry_of_batch, entry_of_part
from meshflow_prefect.models import DEFAULT_MODEL, BatchRequest, BatchResult
from meshflow_prefect.params import MessageParams
from meshflow_prefect.polling import check_schedule
from meshflow_prefect.reporting import log_outcome
from meshflow_prefect.results import in_order_of_ids
from meshflow_prefect.tasks import cancel_batch, collect_results, poll_batch, submit_batch


@batch_flow(name="batch-agent-tasks", persist_result=True)
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
    wait_fraction: float = 0.25,
    timeout: float | None = None,
    max_attempts: int = 2,
    on_failure: OnFailure = "return",
    failure_threshold: float = 0.0,
    on_cancel: OnCancel = "cancel_batches",
    job_key: str = "",
    batch_ids: Sequence[str] | None = None,
    if_unknown: str = "stop",
) -> list[BatchResult]:
    """Run each task as one request of a single batch, at half price, within 24 hours.

    In a deployed run (as the root, or as a subflow of any flow that is deployed) the process ends
    while Anthropic works, and the orchestrator starts the run again. Elsewhere it waits in the
    process. Whatever happens in between (a retry, a crash, a redeploy, another worker, lost result
    storage, a lost answer), the batch that is already paid for is found again and collected.

    Args:
        tasks: The prompts, at least one and at most 100,000 of 256 MB together.
        agent_model: The model that answers.
        system_prompt: The system prompt of every request; may be empty.
        max_tokens: The most tokens that each reply may have.
        api_key: A key, for direct calls only. A deployed run refuses it, because Prefect stores
            parameters in clear: use `credentials` or the environment of the worker.
        poll_interval: Seconds between two checks, and the soonest that a suspended run wakes.
        credentials: An AnthropicCredentials block, or the name of one. Left out, the environment's
            key is used.
        params: Other Messages parameters of every request, such as tools or thinking.
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
    """
    check_schedule(poll_interval, wait_fraction, timeout)
    check_policy(on_failure, failure_threshold, max_attempts)
    key = await usable_credentials(api_key, credentials)
    wait = {"poll_interval": poll_interval, "wait_fraction": wait_fraction, "timeout": timeout}
    if batch_ids is not None:
        made, results = await _collected(_checked_ids(batch_ids, tasks), key, wait)
    else:
        requests = _requests(
            tasks,
            agent_model,
            job_key,
            system_prompt=system_prompt,
            max_tokens=max_tokens,
            params=params or {},
        )
        terms = {"job_key": job_key, "on_cancel": on_cancel, "if_unknown": if_unknown}
        made, results = await _attempted(requests, max_attempts, key, terms, wait)
    log_outcome(get_run_logger(), made, results)
    check_failures(results, batch_ids=made, on_failure=on_failure, threshold=failure_threshold)
    return results


async def _attempted(
    requests: Sequence[BatchRequest],
    max_attempts: int,
    key: AnthropicCredentials,
    terms: Mapping[str, Any],
    wait: Mapping[str, Any],
) -> tuple[list[str], list[BatchResult]]:
    """Submit, wait and collect; then the same with the requests that are worth another try."""
    first = await submit_batch(requests, credentials=key, part="attempt-1", **terms)
    await poll_batch(first, credentials=key, **wait)
    # A redeploy may have changed the requests: the ids are those of what was submitted.
    ids = await _submitted_ids(first, len(requests), terms["job_key"])
    changed = ids != [request.custom_id for request in requests]
    requests = [replace(each, custom_id=i) for each, i in zip(requests, ids, strict=True)]
    results = await collect_results(first, requests, credentials=key)
    batch_ids = [first]
    while len(batch_ids) < max_attempts:
        # Named after the first batch: of several jobs in one flow, each finds its own again.
        part = f"attempt-{len(batch_ids) + 1}-of-{first}"
        batch_id = await _submitted(part, terms["job_key"])
        if not batch_id:
            pending = [
                r for r, result in zip(requests, results, strict=True) if worth_another_try(result)
            ]
            if not pending or changed:
                break  # what is sent again is what was sent, not what a redeploy has made of it
            batch_id = await submit_batch(pending, credentials=key, part=part, **terms)
        batch_ids.append(batch_id)
        await poll_batch(batch_id, credentials=key, **wait)
        # Without ids: where rows of the first batch were damaged, a replay may see more or fewer
        # of them as failed than were sent again. What was sent again is what has rows here.
        results = merge(results, await collect_results(batch_id, credentials=key))
    return batch_ids, results


async def _collected(
    batch_ids: Sequence[str], key: AnthropicCredentials, wait: Mapping[str, Any]
) -> tuple[list[str], list[BatchResult]]:
    """Wait for batches that were created elsewhere, and collect them in turn."""
    rows: list[BatchResult] = []
    for batch_id in batch_ids:
        await poll_batch(batch_id, credentials=key, **wait)
        rows += in_order_of_ids(await collect_results(batch_id, credentials=key))
    return list(batch_ids), rows


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
    """
    cancelled: list[str] = []
    for batch_id, key in await batches_to_cancel(UUID(flow_run_id.removeprefix(RUN_RESOURCE))):
        if await cancel_batch(batch_id, credentials=key):
            cancelled.append(batch_id)
    return cancelled


def _requests(
    tasks: Sequence[str], model: str, job_key: str, *, params: Mapping[str, Any], **fields: Any
) -> list[BatchRequest]:
    if isinstance(tasks, str | Mapping):
        raise InvalidRequestError(f"tasks: expected a list of texts, got a {type(tasks).__name__}.")
    if fields["max_tokens"] < 1:
        raise InvalidRequestError(f"max_tokens: must be at least 1, got {fields['max_tokens']}.")
    tasks = list(tasks)
    if not tasks:
        raise InvalidRequestError("tasks: the list is empty; there is nothing to submit.")
    for position, task in enumerate(tasks):
        if not isinstance(task, str) or not task.strip():
            got = repr(task) if isinstance(task, str) else type(task).__name__
            raise InvalidRequestError(f"tasks[{position}]: expected a non-empty text, got {got}.")
    system = fields.pop("system_prompt")

    def numbered(ids: Sequence[str]) -> list[BatchRequest]:
        return [
            BatchRequest(
                custom_id, task, model, system, params=cast("MessageParams", params), **fields
            )
            for custom_id, task in zip(ids, tasks, strict=True)
        ]

    # The ids come from the content, which is known only once there are requests.
    draft = make_chunk(numbered(task_ids("", len(tasks))))
    return numbered(_ids(draft.digest, len(tasks), job_key))


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


async def _submitted(part: str, job_key: str) -> str:
    """Return the batch that this run has submitted as a part of its job, or empty."""
    async with get_client() as prefect:
        entry = await entry_of_part(prefect, job_key, part)
    return "" if entry is None else entry.batch_id


async def _submitted_ids(batch_id: str, count: int, job_key: str) -> list[str]:
    """Return the custom ids under which a batch of this run was submitted."""
    async with get_client() as prefect:
        entry = await entry_of_batch(prefect, batch_id)
    assert entry is not None  # noqa: S101  (submit_batch has recorded it)
    return _ids(entry.work.digest, count, job_key)


def _ids(digest: str, count: int, job_key: str) -> list[str]:
    """Return the ids of a job: of its key or root run, and its content, as a replay has them."""
    job = f"key {job_key}" if job_key else str(flow_run.root_flow_run_id)
    return task_ids(f"{job}:{digest}", count)
