"""What is waited for in a Prefect run: the end of a batch, and an API that is there to be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from meshflow_prefect.activity import busy
from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchNotFoundError,
    MeshflowError,
)
from meshflow_prefect.ledgers import entry_of_batch
from meshflow_prefect.looking import despite_stale_answers, look_at
from meshflow_prefect.models import BatchJob, Collected
from meshflow_prefect.polling import (
    Found,
    check_schedule,
    describe,
    next_check,
    poll_until_ended,
)
from meshflow_prefect.resting import Resting

if TYPE_CHECKING:
    from meshflow_prefect.client import AnthropicBatchClient

_COLLECT_SECONDS = 10.0
"""The shortest pause before the results are asked for once more."""

_GIVES_UP = timedelta(days=2)
"""How old a batch is when its results are not waited for any longer: it has ended within one."""


async def wait_until_ended(
    batch_ids: Sequence[str],
    anthropic: AnthropicBatchClient,
    rest: Resting,
    *,
    poll_interval: float,
    wait_fraction: float,
    timeout: float | None,
) -> list[BatchJob]:
    """Return those of the batches that have ended, one at least; `rest` between two rounds.

    Where the run is suspended this call does not return, and is made again when it is resumed.
    `timeout` counts seconds of wall-clock time from the creation of each batch.
    """
    check_schedule(poll_interval, wait_fraction, timeout)
    looks = {batch_id: _Look(batch_id, anthropic, rest) for batch_id in batch_ids}
    began = datetime.now(UTC)

    def since(found: Found) -> datetime:
        if isinstance(found, BatchJob):
            return found.created_at
        return looks[found.batch_id].submitted or began

    def next_look(found: Found) -> datetime:
        # A look in a process that is there anyway costs nothing: no reason to be late.
        fraction = wait_fraction if rest.suspends else 0.0
        return next_check(
            found, since=since(found), poll_interval=poll_interval, wait_fraction=fraction
        )

    def deadline(found: Found) -> datetime | None:
        return None if timeout is None else since(found) + timedelta(seconds=timeout)

    return await poll_until_ended(
        list(looks.values()), rest=rest.until, next_look=next_look, deadline=deadline
    )


class _Look:
    """Looks at one batch."""

    def __init__(self, batch_id: str, anthropic: AnthropicBatchClient, rest: Resting) -> None:
        self._batch_id, self._anthropic, self._rest = batch_id, anthropic, rest
        self.submitted: datetime | None = None
        """When this run submitted it, once that had to be known."""

    async def __call__(self) -> BatchJob:
        try:
            with busy():
                return await look_at(self._batch_id, self._anthropic, self._submitted_at)
        except ApiUnavailableError as error:
            await self._submitted_at()
            raise ApiUnavailableError(
                error.message, **error.details | {"batch_id": self._batch_id}
            ) from None

    async def _submitted_at(self) -> datetime | None:
        entry = await entry_of_batch(self._rest.prefect, self._batch_id)
        self.submitted = None if entry is None else entry.submitted_at
        return self.submitted


async def collect_patiently(
    batch_id: str,
    read: Callable[[], Awaitable[Collected]],
    anthropic: AnthropicBatchClient,
    rest: Resting,
) -> Collected:
    """Return what `read` makes of the results of an ended batch; `rest` while the API is away.

    `read` begins anew each time it is called.

    Raises `ApiUnavailableError` when it is away for a batch that is two days old, or that is not in
    the ledger of this run.
    """

    async def read_at_work() -> Collected:
        with busy():
            return await read()

    while True:
        try:
            return await despite_stale_answers(read_at_work)
        except (ApiUnavailableError, BatchNotFoundError) as error:
            entry = await entry_of_batch(rest.prefect, batch_id)
            if entry is None or datetime.now(UTC) - entry.submitted_at > _GIVES_UP:
                raise
            away = await _passing(error, batch_id, anthropic, entry.submitted_at)
        wake = next_check(
            away, since=entry.submitted_at, poll_interval=_COLLECT_SECONDS, wait_fraction=0.25
        )
        await rest.until(wake, describe(away))


async def _passing(
    error: MeshflowError, batch_id: str, anthropic: AnthropicBatchClient, submitted: datetime
) -> ApiUnavailableError:
    """Return the error as one that passes; raises it when the batch does not exist any more."""

    async def submitted_at() -> datetime:
        return submitted

    if isinstance(error, ApiUnavailableError):
        return error
    try:
        await look_at(batch_id, anthropic, submitted_at)  # the list of batches decides
    except ApiUnavailableError as away:
        return away
    return ApiUnavailableError(error.message, **error.details)
