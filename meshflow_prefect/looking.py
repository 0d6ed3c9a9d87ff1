"""One look at a batch that was submitted: not finished, could not be asked, or never will work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchNotEndedError,
    BatchNotFoundError,
    MeshflowError,
)

if TYPE_CHECKING:
    from meshflow_prefect.client import AnthropicBatchClient
    from meshflow_prefect.models import BatchJob

_T = TypeVar("_T")

YOUNG = timedelta(seconds=60)
"""A batch that was submitted this recently may not be visible yet."""

_STALE_PAUSES = (1.0, 2.0, 4.0)
"""After how many seconds a batch that has ended and is said to go on is read again."""

_LISTED = 1000
_LOOKS = 3
_LOOK_SECONDS = 3.0

SubmittedAt = Callable[[], Awaitable[datetime | None]]
"""Says when a batch was submitted; None when its id did not come from this run's ledger."""


async def look_at(
    batch_id: str, anthropic: AnthropicBatchClient, submitted_at: SubmittedAt
) -> BatchJob:
    """Return the batch as it is now.

    Anthropic answers 404 now and then for a batch that exists: just after its creation, and in
    mid-wait. For a batch that was certainly made, the list of batches decides: what it shows
    exists. Raises `ApiUnavailableError` when asking again later may work, `BatchNotFoundError` for
    a batch that was deleted or never existed, `CredentialsError` for a refused key.
    """
    try:
        return await anthropic.status(batch_id)
    except BatchNotFoundError as error:
        submitted = await submitted_at()
        if submitted is None:
            raise
        not_found = error
    for _ in range(_LOOKS):
        for job in await anthropic.list(limit=_LISTED):
            if job.batch_id == batch_id:
                return job
        if datetime.now(UTC) - submitted < YOUNG:
            raise ApiUnavailableError(
                f"Batch {batch_id!r} is not visible yet ({not_found})", batch_id=batch_id
            )
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            return await anthropic.status(batch_id)
        except BatchNotFoundError:
            continue
    raise BatchNotFoundError(
        f"Batch {batch_id!r}, submitted at {submitted:%F %T %Z}, does not exist any more: it was "
        "deleted, or the key belongs to another workspace than the one that submitted it. Nothing "
        "was sent again.",
        **not_found.details,
    )


async def despite_stale_answers(
    read: Callable[[], Awaitable[_T]], *stale: type[MeshflowError]
) -> _T:
    """Return what `read` brings of a batch that has ended, also where an answer is behind.

    `stale` are the errors that say so: `BatchNotEndedError`, where none is given. Raises it when it
    comes again and again.
    """
    expected = stale or (BatchNotEndedError,)
    for pause in _STALE_PAUSES:
        try:
            return await read()
        except expected:
            # A replica may be behind the one that has just said that the batch has ended.
            await asyncio.sleep(pause)
    return await read()
