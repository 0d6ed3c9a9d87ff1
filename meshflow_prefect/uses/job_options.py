"""How the batches of a use case are run: keywords that it hands on to `batch_requests`."""

from __future__ import annotations

from typing import TypedDict

from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.ledger import OnCancel


class JobOptions(TypedDict, total=False):
    """Each is left out, or as `batch_agent_tasks` explains it."""

    credentials: AnthropicCredentials | str | None
    """An AnthropicCredentials block, or the name of one."""
    cache_system: bool
    warm_cache: bool
    poll_interval: float
    """Seconds."""
    wait_fraction: float
    timeout: float | None
    """Seconds, from the creation of each batch."""
    max_attempts: int
    """In how many batches a request may be sent."""
    on_cancel: OnCancel
    job_key: str
    """Names the work across runs."""
    if_unknown: str
    max_requests_in_queue: int
    max_requests_per_batch: int
    max_bytes_per_batch: int


def of_second_job(options: JobOptions, name: str) -> JobOptions:
    """Return the options of another job of the same run, which has a job key of its own."""
    key = options.get("job_key", "")
    return {**options, "job_key": f"{key}-{name}"} if key else options
