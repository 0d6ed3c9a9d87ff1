"""Downloads of the results file of an ended batch, each from its first row to its end or a cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import cycle
from typing import TYPE_CHECKING
from urllib.parse import quote

from meshflow_prefect.answers import about, asked
from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchNotFoundError,
    MeshflowError,
    ResultsUnavailableError,
)
from meshflow_prefect.models import RESULTS_KEPT, BatchJob

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic

BATCHES = "/v1/messages/batches"


def downloads(
    sdk: AsyncAnthropic, job: BatchJob
) -> Callable[[], AsyncGenerator[list[bytes], None]]:
    """Return what begins the file anew, each time that it is called; see `results_file`.

    Every second download is asked for uncompressed. Where a proxy's compression is damaged, or of
    several members, of which the HTTP library reads the first one alone, it would never be whole.
    """
    encodings = cycle([{}, {"accept-encoding": "identity"}])
    return lambda: results_file(sdk, job, next(encodings))


async def results_file(
    sdk: AsyncAnthropic, job: BatchJob, encoding: dict[str, str]
) -> AsyncGenerator[list[bytes], None]:
    """Yield the lines of the file as they come in, some at a time, without their line ends.

    `encoding` are the headers that say how it may be compressed.

    Raises `ApiUnavailableError` when the file cannot be opened for now or the stream is cut, and
    `ResultsUnavailableError` when Anthropic has removed the file.
    """
    import httpx2

    if job.archived_at is not None:
        raise _removed(job)
    failure: MeshflowError
    try:
        response = await asked(
            # The path is asked of the base URL rather than of the batch's `results_url`, so that
            # the key goes only to the host that it was configured for.
            lambda: sdk.get(
                f"{BATCHES}/{quote(job.batch_id, safe='')}/results",
                cast_to=httpx2.Response,
                options={"headers": {"accept": "application/x-jsonl", **encoding}},
                stream=True,
            ),
            about(job.batch_id),
        )
    except BatchNotFoundError as error:
        # The batch itself has just been found.
        failure = _removed(job) if _is_old(job) else _late(job, error)
    else:
        async with aclosing(_lines(response, job.batch_id)) as blocks:
            async for lines in blocks:
                yield lines
        return
    raise failure


async def _lines(response: httpx2.Response, batch_id: str) -> AsyncGenerator[list[bytes], None]:
    # The piece of a line before a cut is lost: it comes again with the next download.
    import httpx2

    failure: ApiUnavailableError | None = None
    try:
        # Only b"\n" ends a row: model output holds U+2028 and U+0085, where str.splitlines and
        # the HTTP library's own line reader split as well.
        rest = b""
        async with aclosing(response.aiter_bytes()) as blocks:
            async for block in blocks:
                *lines, rest = (rest + block).split(b"\n")
                if lines := [line for line in lines if line.strip()]:
                    yield lines
        if rest.strip():
            yield [rest]
    except httpx2.HTTPError as error:
        said = str(error) or type(error).__name__
        failure = ApiUnavailableError(
            f"Batch {batch_id!r}: the stream of results was cut: {said}.", batch_id=batch_id
        )
    finally:
        await response.aclose()
    # Raised out here, so that the library's error, whose request holds the key, is not chained.
    if failure is not None:
        raise failure


def _is_old(job: BatchJob) -> bool:
    return datetime.now(UTC) - job.created_at >= RESULTS_KEPT


def _removed(job: BatchJob) -> ResultsUnavailableError:
    when = f" at {job.archived_at:%F %R %Z}" if job.archived_at else ""
    return ResultsUnavailableError(
        f"The results of batch {job.batch_id!r} were removed{when}: Anthropic keeps them for "
        f"{RESULTS_KEPT.days} days after the batch was created.",
        batch_id=job.batch_id,
    )


def _late(job: BatchJob, error: BatchNotFoundError) -> ApiUnavailableError:
    return ApiUnavailableError(
        f"Batch {job.batch_id!r} has ended, and its results are not there yet: {error.message}",
        **error.details,
    )
