"""Requests of a use case → their results, which are those of these requests and of no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from meshflow_prefect.errors import ContentChangedError
from meshflow_prefect.flows import batch_requests
from meshflow_prefect.models import BatchRequest, BatchResult
from meshflow_prefect.uses.job_options import JobOptions, of_second_job


async def replies_to(
    requests: Sequence[BatchRequest], job: JobOptions, output_type: type[BaseModel] | None = None
) -> list[BatchResult]:
    """Return a result for each request, in their order.

    Raises `ContentChangedError` where the run has got its results for other requests already.
    """
    try:
        return await batch_requests(requests, output_type=output_type, **job)
    except ContentChangedError:
        # Of an eval or a comparison it is the dataset that decides what is asked.
        raise ContentChangedError(
            f"This run has results already, and asks for {len(requests):,} of another dataset. "
            "Nothing more was submitted. Restore the dataset and retry the run, or start a new run "
            "for the changed one."
        ) from None


async def verdicts_of(
    requests: Sequence[BatchRequest], verdict: type[BaseModel], job: JobOptions
) -> list[BatchResult]:
    """Return a judge's reply to each request, of a job after the one that got the replies.

    A reply that is no verdict is asked for again, like a row that met a passing error.
    """
    if not requests:
        return []
    results = await replies_to(requests, of_second_job(job, "judge"), verdict)
    # A result storage that keeps JSON gives back the values of a verdict: have it read anew.
    return [replace(result, parsed=None) for result in results]
