"""Requests for a judge → its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from meshflow_prefect.flows import batch_requests
from meshflow_prefect.models import BatchRequest, BatchResult
from meshflow_prefect.uses.job_options import JobOptions, of_second_job


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
    return [replace(result, parsed=None) for result in results]
