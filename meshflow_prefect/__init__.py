"""Anthropic's Message Batches as Prefect tasks and a flow that suspends while it waits."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshflow_prefect.bulk.flow import batch_file
    from meshflow_prefect.bulk.summary import FileSummary
    from meshflow_prefect.client import AnthropicBatchClient
    from meshflow_prefect.credentials import AnthropicCredentials
    from meshflow_prefect.errors import (
        ApiUnavailableError,
        BadRowsError,
        BatchFailedError,
        BatchNotEndedError,
        BatchNotFoundError,
        BatchTooLargeError,
        BatchWaitTimeoutError,
        BelowThresholdError,
        ContentChangedError,
        CostGateError,
        CredentialsError,
        DestinationError,
        InvalidRequestError,
        JobKeyError,
        MeshflowError,
        OverBudgetError,
        RateLimitedError,
        ResultsLostError,
        ResultsUnavailableError,
        RunCancelledError,
        SourceError,
        SubmissionRefusedError,
        SubmissionUnknownError,
        TemplateError,
    )
    from meshflow_prefect.flows import batch_agent_tasks, batch_requests, cancel_batches
    from meshflow_prefect.models import BatchJob, BatchRequest, BatchResult, Collected
    from meshflow_prefect.own_prices import set_price
    from meshflow_prefect.pricing import total_cost
    from meshflow_prefect.tasks import cancel_batch, collect_results, poll_batch, submit_batch
    from meshflow_prefect.uses.ab_report import ABReport
    from meshflow_prefect.uses.ab_test import compare_prompts
    from meshflow_prefect.uses.bulk_documents import batch_documents
    from meshflow_prefect.uses.cost_comparison import CostComparison
    from meshflow_prefect.uses.cost_gate import compare_cost
    from meshflow_prefect.uses.eval_report import EvalReport
    from meshflow_prefect.uses.evaluation import evaluate
    from meshflow_prefect.uses.variants import Variant

__version__ = metadata.version("meshflow-prefect")

__all__ = [
    "ABReport",
    "AnthropicBatchClient",
    "AnthropicCredentials",
    "ApiUnavailableError",
    "BadRowsError",
    "BatchFailedError",
    "BatchJob",
    "BatchNotEndedError",
    "BatchNotFoundError",
    "BatchRequest",
    "BatchResult",
    "BatchTooLargeError",
    "BatchWaitTimeoutError",
    "BelowThresholdError",
    "Collected",
    "ContentChangedError",
    "CostComparison",
    "CostGateError",
    "CredentialsError",
    "DestinationError",
    "EvalReport",
    "FileSummary",
    "InvalidRequestError",
    "JobKeyError",
    "MeshflowError",
    "OverBudgetError",
    "RateLimitedError",
    "ResultsLostError",
    "ResultsUnavailableError",
    "RunCancelledError",
    "SourceError",
    "SubmissionRefusedError",
    "SubmissionUnknownError",
    "TemplateError",
    "Variant",
    "batch_agent_tasks",
    "batch_documents",
    "batch_file",
    "batch_requests",
    "cancel_batch",
    "cancel_batches",
    "collect_results",
    "compare_cost",
    "compare_prompts",
    "evaluate",
    "poll_batch",
    "set_price",
    "submit_batch",
    "total_cost",
]

_ROOMS = (
    "errors",
    "models",
    "own_prices",
    "pricing",
    "client",
    "credentials",
    "tasks",
    "flows",
    "bulk.summary",
    "bulk.flow",
    "uses.bulk_documents",
    "uses.cost_comparison",
    "uses.cost_gate",
    "uses.variants",
    "uses.eval_report",
    "uses.ab_report",
    "uses.evaluation",
    "uses.ab_test",
)
"""Where the names live, the rooms that are cheap to import first."""


def __getattr__(name: str) -> Any:
    # Prefect imports this package at its own start (the `prefect.collections` entry point), so a
    # room is opened only when somebody asks for what is in it.
    if name in __all__:
        for room in _ROOMS:
            module = import_module(f"{__name__}.{room}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
