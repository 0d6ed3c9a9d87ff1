"""Requests of a use case → their results, which are those of these requests and of no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from meshflow_prefect.errors import ContentChangedError
from meshflow_prefect.flows import batch_requests
from meshflow_prefect.models import BatchRequest, BatchResult
from meshflow_prefect.uses.job_options import JobOptions, of_second_job


async def replies_to(requests: Sequence[BatchRequest], job: JobOptions) -> list[BatchResult]:
    """Return a result for each request, in their order.

    Raises `ContentChangedError` where the run has got its results for other requests already.
    """
    return _belonging(requests, await batch_requests(requests, **job))


async def verdicts_of(
    requests: Sequence[BatchRequest], verdict: type[BaseModel], job: JobOptions
) -> list[BatchResult]:
    """Return a judge's reply to each request, of a job after the one that got the replies.

    A reply that is no verdict is asked for again, like a row that met a passing error.
    """
    if not requests:
        return []
    second = of_second_job(job, "judge")
    results = await batch_requests(requests, output_type=verdict, **second)
    # A result storage that keeps JSON gives back the values of a verdict: have it read anew.
    return [replace(result, parsed=None) for result in _belonging(requests, results)]


def _belonging(
    requests: Sequence[BatchRequest], results: Sequence[BatchResult]
) -> list[BatchResult]:
    # Prefect gives a run that is retried the result that its subflow had, whatever it asks now.
    if [result.custom_id for result in results] == [request.custom_id for request in requests]:
        return list(results)
    raise ContentChangedError(
        f"This run has results for {len(results):,} requests already, and asks for "
        f"{len(requests):,} of another dataset. Nothing more was submitted. Restore the dataset "
        "and retry the run, or start a new run for the changed one."
    )
