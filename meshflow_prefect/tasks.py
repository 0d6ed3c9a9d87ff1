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

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.runtime import task_run
from prefect.tasks import Task, exponential_backoff
from prefect.transactions import get_transaction
from prefect.utilities.annotations import quote

from meshflow_prefect.chunking import Chunk, make_chunk
from meshflow_prefect.client import AnthropicBatchClient
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import (
    ApiUnavailableError,
    InvalidRequestError,
    MeshflowError,
    RunCancelledError,
)
from meshflow_prefect.ledger import OnCancel
from meshflow_prefect.ledgers import entry_of_batch
from meshflow_prefect.models import BatchJob, BatchRequest, BatchResult
from meshflow_prefect.reporting import counted, reading_faults
from meshflow_prefect.resting import resting
from meshflow_prefect.storage import write_whole_or_not_at_all
from meshflow_prefect.submission import submit_once, work_of
from meshflow_prefect.waiting import collect_patiently, wait_until_ended

_CANCEL_SECONDS = 900.0
"""For how long a cancellation is put off when the API asks for it: what goes on is billed."""


async def _may_retry_reading(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(await state.aresult(raise_on_failure=False), ApiUnavailableError)


@task(
    name="submit-batch",
    task_run_name=lambda: f"submit {counted(len(task_run.parameters['requests']), 'request')}",
    # The ledger remembers what was submitted. A cached result would not survive a redeploy or a
    # lost result storage, and would merge two submissions of equal content.
    cache_policy=NO_CACHE,
    # What may be sent again, and when, is decided where it is known whether a batch was made.
    retries=0,
)
async def submit_batch(
    requests: Sequence[BatchRequest],
    *,
    credentials: AnthropicCredentials | None = None,
    job_key: str = "",
    part: str = "",
    on_cancel: OnCancel = "cancel_batches",
    if_unknown: str = "stop",
) -> str:
    """Create one batch and return its id.

    In a flow run, a replay (after a suspension, a retry, a crash, a redeploy) returns the id of
    the batch that is already paid for: it is found in the ledger on the root run, by the flow run
    that made it and the content of the requests. Two submissions of equal content in one run make
    two batches; one in a task that failed after it and is retried is the same one. (A task that
    returns a `Failed` state, rather than raise, is not seen to have failed: give a `job_key`.)
    Where the answer to the create call was lost, the batch is looked for and adopted; it is sent
    again only when certainly nothing was accepted.

    Args:
        requests: At least one; at most 100,000 of 256 MB together.
        credentials: The key; left out, the environment's.
        job_key: Any text. Later runs that submit the same requests with the same key get this
            batch, for 29 days.
        part: Names this submission within its flow run ("chunk-3"), so that a replay finds it even
            where the content has changed. Two submissions of a run must not share a name.
        on_cancel: Whether a cancellation of the run cancels the batch.
        if_unknown: What to do where it cannot be known whether a batch was made: `stop` raises,
            `submit` sends again, the id of a batch adopts that one.

    Raises:
        InvalidRequestError: the list is empty, an id occurs twice, or `on_cancel` or `if_unknown`
            is none of these; nothing was sent.
        BatchTooLargeError: more than 100,000 requests or 256 MB; nothing was sent.
        CredentialsError: there is no key, or it was refused.
        JobKeyError: the key was used for other requests; nothing was sent.
        SubmissionRefusedError: Anthropic refused for good; no batch was made. A 429 or 529 is
            waited out, and the run is suspended where that takes more than a minute.
        SubmissionUnknownError: the answer was lost, and which batch is its cannot be known.
    """
    return await _submitted(
        make_chunk(requests),
        credentials,
        if_unknown,
        part=part,
        job_key=job_key,
        on_cancel=on_cancel,
    )


@task(
    name="submit-batch",
    cache_policy=NO_CACHE,
    retries=0,
)
async def submit_chunk(
    chunk: Chunk,
    *,
    credentials: AnthropicCredentials | None = None,
    part: str = "",
    on_cancel: OnCancel = "cancel_batches",
    if_unknown: str = "stop",
    **terms: Any,
) -> str:
    """Do as `submit_batch` does, for requests that are checked and serialised already.

    `terms` are what else the ledger keeps of the submission; see `Work`.
    """
    return await _submitted(chunk, credentials, if_unknown, part=part, on_cancel=on_cancel, **terms)


async def _submitted(
    chunk: Chunk, credentials: AnthropicCredentials | None, if_unknown: str, **terms: Any
) -> str:
    key = credentials or AnthropicCredentials()
    work = work_of(chunk, block=key.stored_name or "", **terms)
    async with key.get_client() as anthropic:
        return await submit_once(chunk, work, anthropic, if_unknown=if_unknown)


@task(
    name="poll-batch",
    task_run_name="poll {batch_id}",
    # The answer changes with time: a cached one would be "in progress" for ever.
    cache_policy=NO_CACHE,
    persist_result=False,
    # Faults that pass are part of the wait.
    retries=0,
)
async def poll_batch(
    batch_id: str,
    *,
    credentials: AnthropicCredentials | None = None,
    poll_interval: float = 30.0,
    wait_fraction: float = 0.25,
    timeout: float | None = None,
) -> BatchJob:
    """Wait until the batch has ended, and return it.

    In a run without a deployment the wait is in the process, with a check every `poll_interval`
    seconds. In a deployed run the batch is checked once; if it has not ended, the run is suspended
    and its process ends. The orchestrator starts the run again after `wait_fraction` of the time
    already waited, never sooner than `poll_interval`, and this task is run anew.

    Faults that pass (timeouts, 429, 5xx, a 404 for a batch that this run submitted) do not end the
    wait, however long they last. No fault cancels or resubmits the batch.

    Raises:
        BatchNotFoundError: no such batch in the key's workspace, or it was deleted.
        BatchWaitTimeoutError: not ended `timeout` seconds after its creation, by the clock on the
            wall. The batch goes on; retrying the run collects it once it has ended.
        CredentialsError: there is no key, or it was refused.
        RunCancelledError: the run was cancelled while it slept in its process.
    """
    (job,) = await _ended([batch_id], credentials, poll_interval, wait_fraction, timeout)
    return job


@task(
    name="poll-batches",
    task_run_name=lambda: f"poll {len(task_run.parameters['batch_ids'])} batches",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=0,
)
async def poll_batches(
    batch_ids: Sequence[str],
    *,
    credentials: AnthropicCredentials | None = None,
    poll_interval: float = 30.0,
    wait_fraction: float = 0.25,
    timeout: float | None = None,
) -> list[BatchJob]:
    """Wait until at least one of the batches has ended, and return those that have.

    Waits, suspends, times out and raises as `poll_batch` does; `timeout` counts for each batch.
    """
    return await _ended(batch_ids, credentials, poll_interval, wait_fraction, timeout)


async def _ended(
    batch_ids: Sequence[str],
    credentials: AnthropicCredentials | None,
    poll_interval: float,
    wait_fraction: float,
    timeout: float | None,
) -> list[BatchJob]:
    async with (
        (credentials or AnthropicCredentials()).get_client() as anthropic,
        resting() as rest,
    ):
        try:
            return await wait_until_ended(
                batch_ids,
                anthropic,
                rest,
                poll_interval=poll_interval,
                wait_fraction=wait_fraction,
                timeout=timeout,
            )
        except RunCancelledError:
            for batch_id in batch_ids:
                entry = await entry_of_batch(rest.prefect, batch_id)
                if entry is None or entry.work.on_cancel != "cancel_batches":
                    continue
                try:
                    await _cancelled(batch_id, anthropic)
                except MeshflowError as error:
                    # The others are to be cancelled all the same.
                    get_run_logger().warning("%s", error)
            raise


def _results_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
    # The results of an ended batch never change, so the batch and the order asked for are the key.
    requests = parameters["requests"]
    if isinstance(requests, quote):
        requests = requests.unquote()
    if requests is not None and not isinstance(requests, Sequence):
        return None  # an iterator that was read here would be empty in the task
    ids = _custom_ids(requests)
    asked = "all" if ids is None else hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return f"meshflow-results-{parameters['batch_id']}-{asked}"


@task(
    name="collect-results",
    task_run_name="collect {batch_id}",
    cache_key_fn=_results_key,
    persist_result=True,
    # As long as the API is away this waits, like the wait for the batch.
    retries=0,
)
async def collect_results(
    batch_id: str,
    requests: Iterable[BatchRequest] | Iterable[str] | None = None,
    *,
    credentials: AnthropicCredentials | None = None,
) -> list[BatchResult]:
    """Return the results of an ended batch.

    With `requests` (or their custom ids): exactly one result for each, in that order; a request
    without a row that can be read gives one with the status `missing`, whose `error_type` names the
    reason. Without: the rows in the API's order, which is any. Anthropic keeps results for 29 days
    after the batch was created.

    The result is persisted; reading it again costs nothing. One that lacks rows is not, so that the
    next attempt reads them from the API.

    Raises:
        BatchNotEndedError: the batch is still being processed; `poll_batch` waits for it.
        BatchNotFoundError: no such batch in the key's workspace.
        ResultsUnavailableError: the results are older than 29 days, and `requests` is left out.
        ApiUnavailableError: the API was away for so long that the batch is two days old, or it is
            away and the batch is not one that this run submitted.
    """
    ids = _custom_ids(requests)
    async with (
        (credentials or AnthropicCredentials()).get_client() as anthropic,
        resting() as rest,
    ):
        collected = await collect_patiently(
            batch_id, lambda: anthropic.collect(batch_id, custom_ids=ids), anthropic, rest
        )
    for words in reading_faults(collected):
        get_run_logger().warning("Batch %s: %s", batch_id, words)
    if collected.is_whole:
        write_whole_or_not_at_all()
    elif (transaction := get_transaction()) is not None:
        transaction.write_on_commit = False
    return collected.results


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
        return await _cancelled(batch_id, anthropic)


async def _cancelled(batch_id: str, anthropic: AnthropicBatchClient) -> bool:
    """Do as `AnthropicBatchClient.cancel`, and wait as long as the API asks: some minutes."""
    left = _CANCEL_SECONDS
    while True:
        try:
            return await anthropic.cancel(batch_id)
        except ApiUnavailableError as error:
            pause = error.details.get("retry_after")
            if not pause or pause > left:
                raise
        left -= pause
        await asyncio.sleep(pause)


def _custom_ids(requests: Iterable[BatchRequest] | Iterable[str] | None) -> list[str] | None:
    if requests is None:
        return None
    if isinstance(requests, str):
        raise InvalidRequestError(f"requests: expected a list, got the text {requests!r}.")
    return [item if isinstance(item, str) else item.custom_id for item in requests]
