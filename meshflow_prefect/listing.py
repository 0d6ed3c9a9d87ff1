"""The list of batches, page by page: read to its end, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from meshflow_prefect.answers import about, asked
from meshflow_prefect.batch_answers import job_of
from meshflow_prefect.errors import MeshflowError
from meshflow_prefect.models import BatchJob

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_PAGE = 1000
"""What the API gives at most at once."""


async def read_list(
    sdk: AsyncAnthropic, *, limit: int | None, enough: Callable[[list[BatchJob]], bool]
) -> list[BatchJob]:
    """Return the batches of the key's workspace in the order of the API, each once.

    At most `limit` of them. After each page `enough` is asked whether those so far will do.

    Raises `MeshflowError` for a list that says that it goes on, and repeats itself: a batch that
    is not seen would be taken for one that does not exist.
    """
    jobs: dict[str, BatchJob] = {}
    after: str | None = None
    while True:
        page, claims_more, after = await _page(sdk, min(limit or _PAGE, _PAGE), after)
        fresh = [job for job in page if job.batch_id not in jobs]
        jobs |= {job.batch_id: job for job in fresh}
        found = list(jobs.values())[:limit]
        if len(found) == limit or claims_more is False or enough(found):
            return found
        if not page or (not fresh and claims_more is None):
            return found  # whatever the page before has claimed
        if not fresh:
            raise MeshflowError(
                f"The list of batches says that it goes on after {after!r}, and brings nothing "
                f"new there: {len(found):,} batches can be seen. Whatever is at that address does "
                "not know `after_id`."
            )


async def _page(
    sdk: AsyncAnthropic, limit: int, after: str | None
) -> tuple[list[BatchJob], bool | None, str | None]:
    """Return one page, whether the API says that there are more, and where they begin."""

    async def ask() -> tuple[list[BatchJob], bool | None, str | None]:
        import anthropic

        page = await sdk.messages.batches.list(limit=limit, after_id=after or anthropic.omit)
        if not isinstance(page.data, list):
            # The SDK would take an answer without one for an empty list.
            raise TypeError("the answer holds no list of batches")
        found = [job_of(batch) for batch in page.data]
        last = found[-1].batch_id if found else None
        return found, page.has_more, page.last_id or last

    return await asked(ask, about(None))
