"""On which terms a job is submitted, waited for, and tried again: what the flows have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from meshflow_prefect.chunking import API_LIMITS, Limits
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.failures import OnFailure, check_policy
from meshflow_prefect.ledger import OnCancel
from meshflow_prefect.polling import check_schedule
from meshflow_prefect.queueing import MAX_IN_QUEUE, check_queue
from meshflow_prefect.structured import OutputType, OutputTypeLike


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Checked when they are made: raises `InvalidRequestError` for terms that mean nothing."""

    key: AnthropicCredentials
    poll_interval: float = 30.0
    wait_fraction: float = 0.25
    timeout: float | None = None
    max_attempts: int = 2
    on_failure: OnFailure = "return"
    failure_threshold: float = 0.0
    on_cancel: OnCancel = "cancel_batches"
    job_key: str = ""
    if_unknown: str = "stop"
    max_requests_in_queue: int = MAX_IN_QUEUE
    limits: Limits = API_LIMITS
    output: OutputType | None = None
    """What each reply has to be; None: any text."""
    cache_system: bool = True
    """Whether system prompts that requests share are sent with the 1-hour cache."""
    warm_cache: bool = False
    """Whether a small batch goes first, so that the others read the cache."""

    @classmethod
    def among(cls, parameters: Mapping[str, Any], *, key: AnthropicCredentials) -> Self:
        """Return the terms that are among the parameters of a flow."""
        names = {each.name for each in fields(cls)}
        limits = Limits(
            max_requests=parameters["max_requests_per_batch"],
            max_bytes=parameters["max_bytes_per_batch"],
        )
        check_queue(parameters["max_requests_in_queue"])
        # What waits as one batch must not be more than may wait.
        most = min(limits.max_requests, parameters["max_requests_in_queue"])
        wanted: OutputTypeLike | None = parameters["output_type"]
        return cls(
            key=key,
            limits=replace(limits, max_requests=most),
            output=None if wanted is None else OutputType.of(wanted),
            **{name: parameters[name] for name in names if name in parameters},
        )

    def __post_init__(self) -> None:
        """Check what can be checked before anything is submitted."""
        check_schedule(self.poll_interval, self.wait_fraction, self.timeout)
        check_policy(self.on_failure, self.failure_threshold, self.max_attempts)
        check_queue(self.max_requests_in_queue)
        if self.warm_cache and not self.cache_system:
            raise InvalidRequestError("warm_cache: there is no cache without cache_system.")

    @property
    def of_wait(self) -> dict[str, Any]:
        """What `poll_batch` is told."""
        return {
            "credentials": self.key,
            "poll_interval": self.poll_interval,
            "wait_fraction": self.wait_fraction,
            "timeout": self.timeout,
        }

    @property
    def of_submission(self) -> dict[str, Any]:
        """What `submit_chunk` is told."""
        return {
            "credentials": self.key,
            "job_key": self.job_key,
            "on_cancel": self.on_cancel,
            "if_unknown": self.if_unknown,
        }
