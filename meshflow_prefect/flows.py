"""The flows: each reads like the way of the data, requests → submit → wait → collect → results."""

# No `from __future__ import annotations` here: `flow.serve` sends flows to processes by value, and
# annotations that are texts cannot be looked up there.

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from prefect import get_client
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from pydantic import SecretStr, SkipValidation

from meshflow_prefect.chunking import make_chunk, task_ids
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import CredentialsError, InvalidRequestError
from meshflow_prefect.flow_type import HIDDEN, batch_flow
from meshflow_prefect.models import DEFAULT_MODEL, BatchRequest, BatchResult
from meshflow_prefect.params import MessageParams
from meshflow_prefect.polling import check_schedule
from meshflow_prefect.reporting import log_outcome
from meshflow_prefect.submission import submitted_digest
from meshflow_prefect.tasks import collect_results, poll_batch, submit_batch


@batch_flow(name="batch-agent-tasks", persist_result=True)
async def batch_agent_tasks(
    # Checked by BatchRequest: Prefect's own check would log every task when one is not a text.
    tasks: Annotated[Sequence[str], SkipValidation],
    agent_model: str = DEFAULT_MODEL,
    system_prompt: str = "You are a helpful assistant.",
    max_tokens: int = 1024,
    api_key: str | SecretStr = "",
    poll_interval: float = 30.0,
    *,
    credentials: AnthropicCredentials | str | None = None,
    params: Mapping[str, Any] | None = None,
    wait_fraction: float = 0.25,
) -> list[BatchResult]:
    """Run each task as one request of a single batch, at half price, within 24 hours.

    In a deployed run (as the root, or as a subflow of any flow that is deployed) the process ends
    while Anthropic works, and the orchestrator starts the run again. Elsewhere it waits in the
    process. Whatever happens in between (a retry, a crash, a redeploy, another worker, lost result
    storage), the batch that is already paid for is found again and collected.

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

    Returns:
        Exactly one result for each task, in the order of `tasks`. A request that failed is a
        result with `succeeded` False; it does not fail the run.

    Raises:
        InvalidRequestError: a task or a parameter breaks a rule; nothing was submitted.
        CredentialsError: there is no key, it was refused, or it was given to a deployed run.
        SubmissionRefusedError: Anthropic refused the batch; none was made.
        SubmissionUnknownError: the answer to the create call was lost; it is not sent again.
    """
    check_schedule(poll_interval, wait_fraction)
    key = await _usable_credentials(api_key, credentials)
    requests = _requests(
        tasks, agent_model, system_prompt=system_prompt, max_tokens=max_tokens, params=params or {}
    )
    batch_id = await submit_batch(requests, credentials=key)
    await poll_batch(
        batch_id, credentials=key, poll_interval=poll_interval, wait_fraction=wait_fraction
    )
    # A redeploy may have changed the requests since: the ids are those of what was submitted.
    custom_ids = _ids(await submitted_digest(batch_id), len(requests))
    results = await collect_results(batch_id, custom_ids, credentials=key)
    log_outcome(get_run_logger(), batch_id, results)
    return results


def _requests(
    tasks: Sequence[str], model: str, *, params: Mapping[str, Any], **fields: Any
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
    return numbered(_ids(draft.digest, len(tasks)))


def _ids(digest: str, count: int) -> list[str]:
    """Return the ids of a job: of this root run and this content, so that a replay repeats them."""
    from prefect.runtime import flow_run

    return task_ids(f"{flow_run.root_flow_run_id}:{digest}", count)


async def _usable_credentials(
    api_key: str | SecretStr, credentials: AnthropicCredentials | str | None
) -> AnthropicCredentials:
    """Return the credentials to use; refuse a key that Prefect has stored in clear."""
    secret = api_key if isinstance(api_key, SecretStr) else SecretStr(api_key)
    await _refuse_stored_key()
    if secret.get_secret_value() and credentials is not None:
        raise CredentialsError("Give `api_key` or `credentials`, not both.")
    if secret.get_secret_value():
        return AnthropicCredentials(api_key=secret)
    if isinstance(credentials, str):
        try:
            loaded = await AnthropicCredentials.aload(credentials)
        except ValueError as error:
            raise CredentialsError(
                f"credentials: {error}. Save one in the UI, or in Python: "
                f"AnthropicCredentials(api_key=…).save({credentials!r})."
            ) from None
        assert isinstance(loaded, AnthropicCredentials)  # noqa: S101  (what the type checker needs)
        return loaded
    return credentials or AnthropicCredentials()


async def _refuse_stored_key() -> None:
    """Raise `CredentialsError`, and erase the key, where a deployed run holds it as a parameter."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.deployment_id is None:
        return
    stored = dict(run.parameters)
    if stored.get("api_key"):
        where, stored["api_key"] = "api_key", ""
    elif isinstance(block := stored.get("credentials"), Mapping) and block.get("api_key"):
        where, stored["credentials"] = "credentials.api_key", {**block, "api_key": HIDDEN}
    else:
        return
    if stored.get("credentials") == {"api_key": HIDDEN}:
        stored["credentials"] = None
    async with get_client() as client:
        await client.update_flow_run(run.id, parameters=stored)
    raise CredentialsError(
        f"{where}: a key must not be a parameter of a deployed run, because Prefect stores "
        "parameters in clear. Nothing was submitted, and the key was erased from this run's "
        "parameters; erase it from the deployment's and from schedules too, and replace it. Use "
        "`credentials` with the name of an AnthropicCredentials block, or set ANTHROPIC_API_KEY "
        "in the worker's environment."
    )
