"""The steps of a batch as Prefect tasks, to compose into flows of one's own.

```python
@flow
async def pipeline() -> list[BatchResult]:
    requests = [BatchRequest("a", "Say hello."), BatchRequest("b", "Say goodbye.")]
    batch_id = await submit_batch(requests)
    await poll_batch(batch_id)
    return await collect_results(batch_id, requests)
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.runtime import task_run
from prefect.tasks import Task, exponential_backoff

from meshflow_prefect.activity import busy
from meshflow_prefect.chunking import make_chunk
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import (
    ApiUnavailableError,
    InvalidRequestError,
    RateLimitedError,
    SubmissionRefusedError,
)
from meshflow_prefect.flow_type import BatchFlow
from meshflow_prefect.models import BatchJob, BatchRequest, BatchResult
from meshflow_prefect.reporting import counted
from meshflow_prefect.submission import ids_digest, submit_once
from meshflow_prefect.waiting import wait_until_ended


async def _may_retry_create(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    # Only what certainly made no batch and may work later: a 429 or 529, or nobody was reached. Any
    # other failed create is never repeated.
    error = await state.aresult(raise_on_failure=False)
    if isinstance(error, RateLimitedError):
        return True
    return isinstance(error, SubmissionRefusedError) and error.details.get("status_code", 0) is None


async def _may_retry_reading(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(await state.aresult(raise_on_failure=False), ApiUnavailableError)


def _submit_name() -> str:
    return f"submit {counted(len(task_run.parameters['requests']), 'request')}"


@task(
    name="submit-batch",
    task_run_name=_submit_name,
    # The ledger remembers what was submitted. A cached result would not survive a redeploy or a
    # lost result storage, and would merge two submissions of equal content.
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=exponential_backoff(10),
    retry_condition_fn=_may_retry_create,
)
async def submit_batch(
    requests: Sequence[BatchRequest], *, credentials: AnthropicCredentials | None = None
) -> str:
    """Create one batch and return its id.

    In a flow run, a replay (after a suspension, a retry, a crash, a redeploy) returns the id of
    the batch that is already paid for: it is found in the ledger on the root run, by the flow run
    that made it and the content of the requests. Two submissions of equal content in one run make
    two batches.

    Raises:
        InvalidRequestError: the list is empty, or an id occurs twice; nothing was sent.
        BatchTooLargeError: more than 100,000 requests or 256 MB; nothing was sent.
        CredentialsError: there is no key, or it was refused.
        SubmissionRefusedError: Anthropic refused; no batch was made.
        SubmissionUnknownError: the answer was lost; there may be a batch. Never sent again.
    """
    chunk = make_chunk(requests)
    flow_run = FlowRunContext.get()
    # A flow of this package makes its submissions for one job, a user's flow for any number.
    sole = flow_run is not None and isinstance(flow_run.flow, BatchFlow)
    async with (credentials or AnthropicCredentials()).get_client() as anthropic:
        return await submit_once(chunk, anthropic, sole=sole)


@task(
    name="poll-batch",
    task_run_name="poll {batch_id}",
    # The answer changes with time: a cached one would be "in progress" for ever.
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=10,
    retry_delay_seconds=[5, 10, 20, 40, 60, 60, 60, 60, 60, 60],
    retry_condition_fn=_may_retry_reading,
)
async def poll_batch(
    batch_id: str,
    *,
    credentials: AnthropicCredentials | None = None,
    poll_interval: float = 30.0,
    wait_fraction: float = 0.25,
) -> BatchJob:
    """Wait until the batch has ended, and return it.

    In a run without a deployment the wait is in the process, with a check every `poll_interval`
    seconds. In a deployed run the batch is checked once; if it has not ended, the run is suspended
    and its process ends. The orchestrator starts the run again after `wait_fraction` of the time
    already waited, never sooner than `poll_interval`, and this task is run anew.

    Passing faults of the API are retried with backoff. No fault cancels or resubmits the batch.

    Raises:
        BatchNotFoundError: no such batch in the key's workspace.
        CredentialsError: there is no key, or it was refused.
    """
    async with (credentials or AnthropicCredentials()).get_client() as anthropic:
        return await wait_until_ended(
            lambda: anthropic.status(batch_id),
            poll_interval=poll_interval,
            wait_fraction=wait_fraction,
        )


def _results_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
    # The results of an ended batch never change, so the batch and the order asked for are the key.
    requests = parameters["requests"]
    if requests is not None and not isinstance(requests, Sequence):
        return None  # an iterator that was read here would be empty in the task
    ids = _custom_ids(requests)
    asked = "all" if ids is None else ids_digest(ids)
    return f"meshflow-results-{parameters['batch_id']}-{asked}"


@task(
    name="collect-results",
    task_run_name="collect {batch_id}",
    cache_key_fn=_results_key,
    persist_result=True,
    retries=5,
    retry_delay_seconds=exponential_backoff(5),
    retry_condition_fn=_may_retry_reading,
)
async def collect_results(
    batch_id: str,
    requests: Iterable[BatchRequest] | Iterable[str] | None = None,
    *,
    credentials: AnthropicCredentials | None = None,
) -> list[BatchResult]:
    """Return the results of an ended batch.

    With `requests` (or their custom ids): exactly one result for each, in that order; a request
    without a row gives one with the status `missing`. Without: the rows in the API's order, which
    is any. The result is persisted; reading it again costs nothing. Anthropic keeps results for 29
    days after the batch was created.

    Raises:
        BatchNotEndedError: the batch is still being processed; `poll_batch` waits for it.
        BatchNotFoundError: no such batch in the key's workspace.
        ResultsUnavailableError: the results are older than 29 days.
    """
    async with (credentials or AnthropicCredentials()).get_client() as anthropic:
        with busy():
            return await anthropic.results(batch_id, custom_ids=_custom_ids(requests))


@task(
    name="cancel-batch",
    task_run_name="cancel {batch_id}",
    cache_policy=NO_CACHE,
    retries=5,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=_may_retry_reading,
)
async def cancel_batch(batch_id: str, *, credentials: AnthropicCredentials | None = None) -> bool:
    """Ask Anthropic to stop a batch; False when it had already ended.

    Requests that were processed before keep their results and are billed. Twice is fine.

    Raises:
        BatchNotFoundError: no such batch in the key's workspace.
    """
    async with (credentials or AnthropicCredentials()).get_client() as anthropic:
        return await anthropic.cancel(batch_id)


def _custom_ids(requests: Iterable[BatchRequest] | Iterable[str] | None) -> list[str] | None:
    if requests is None:
        return None
    if isinstance(requests, str):
        raise InvalidRequestError(f"requests: expected a list, got the text {requests!r}.")
    return [item if isinstance(item, str) else item.custom_id for item in requests]
