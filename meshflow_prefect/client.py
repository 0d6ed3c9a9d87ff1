"""AnthropicBatchClient: the only room that talks to Anthropic. Knows nothing of Prefect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Self

from meshflow_prefect.answers import about, asked, create_failure
from meshflow_prefect.chunking import Chunk, make_chunk
from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchNotEndedError,
    BatchNotFoundError,
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    ResultsUnavailableError,
)
from meshflow_prefect.models import BatchJob, BatchRequest, BatchResult, JobStatus
from meshflow_prefect.polling import poll_until_ended
from meshflow_prefect.results import in_input_order, parse_row

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.types.messages import MessageBatch

_BATCHES = "/v1/messages/batches"


class AnthropicBatchClient:
    """The Message Batches API in the words of this package, without Prefect.

    `api_key` wins over the environment (`ANTHROPIC_API_KEY` and whatever else the SDK reads), and
    so does `base_url` over `ANTHROPIC_BASE_URL`. One HTTP client serves all calls; close it with
    `async with` or `aclose`. Safe to use from several tasks of one event loop.

    Every call but `submit` is repeated up to `max_retries` times by the SDK after network faults,
    429 and 5xx; `submit` is sent once, because a repeated create makes, and bills, a second batch.
    """

    def __init__(
        self,
        api_key: str = "",
        *,
        base_url: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 2,
    ) -> None:
        self._options = {
            "api_key": api_key or None,
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": max_retries,
        }
        self._sdk: AsyncAnthropic | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the HTTP client. Closing twice, or before the first call, is fine."""
        sdk, self._sdk = self._sdk, None
        if sdk is not None:
            await sdk.close()

    def __repr__(self) -> str:
        return f"AnthropicBatchClient(base_url={self._options['base_url']!r})"

    async def submit(self, requests: Sequence[BatchRequest]) -> str:
        """Create one batch and return its id. Called twice, it makes (and bills) two batches.

        Raises `InvalidRequestError` or `BatchTooLargeError` before anything is sent,
        `SubmissionRefusedError` when Anthropic certainly made no batch, and
        `SubmissionUnknownError` when the answer was lost, so that there may be one.
        """
        return (await self.create(make_chunk(requests))).batch_id

    async def create(self, chunk: Chunk) -> BatchJob:
        """Send one create call for requests that are serialised already; see `submit`."""
        from anthropic.types.messages import MessageBatch

        async def blocks() -> AsyncIterator[bytes]:
            for block in chunk.body():
                yield block

        sdk = self._connected()
        headers = {"content-type": "application/json", "content-length": str(chunk.size)}
        answer = await asked(
            lambda: sdk.post(
                _BATCHES,
                content=blocks(),
                cast_to=MessageBatch,
                options={"headers": headers, "max_retries": 0},
            ),
            create_failure,
        )
        return _job(answer)

    async def status(self, batch_id: str) -> BatchJob:
        """Return the batch as it is now. Raises `BatchNotFoundError` for an unknown id."""
        if not batch_id:
            raise BatchNotFoundError("batch_id: expected the id of a batch, got an empty text.")
        sdk = self._connected()
        return _job(await asked(lambda: sdk.messages.batches.retrieve(batch_id), about(batch_id)))

    async def results(
        self, batch_id: str, *, custom_ids: Sequence[str] | None = None
    ) -> list[BatchResult]:
        """Return the results of an ended batch; reading them again is free for 29 days.

        With `custom_ids`: exactly one result for each, in that order, `missing` where the API has
        no row. Without: the API's rows, in the order in which they came, which is any order.
        Raises `BatchNotEndedError`, `BatchNotFoundError` or `ResultsUnavailableError`.
        """
        rows = [result async for result in self.iter_results(batch_id)]
        return rows if custom_ids is None else in_input_order(custom_ids, rows)

    async def iter_results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """Yield the results of an ended batch as they stream in, in any order; see `results`."""
        async with aclosing(self.iter_rows(batch_id)) as lines:
            async for line in lines:
                yield parse_row(line)

    async def iter_rows(self, batch_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the lines of the results file, as they came, without their line ends."""
        job = await self.status(batch_id)
        if not job.is_complete:
            raise BatchNotEndedError(
                f"Batch {batch_id!r} is still {job.status.replace('_', ' ')}: its results can be "
                "read once it has ended. Call `wait` first, or `status` to look.",
                batch_id=batch_id,
            )
        if job.archived_at is not None:
            raise ResultsUnavailableError(
                f"The results of batch {batch_id!r} were removed at {job.archived_at:%F %R %Z}: "
                "Anthropic keeps them for 29 days after the batch was created.",
                batch_id=batch_id,
            )
        stream = self._stream_lines(f"{_BATCHES}/{batch_id}/results", batch_id)
        async with aclosing(stream) as lines:
            async for line in lines:
                yield line

    async def wait(
        self, batch_id: str, poll_interval: float = 30.0, timeout: float = 86400.0
    ) -> BatchJob:
        """Sleep in this process until the batch has ended, and return it.

        Asks every `poll_interval` seconds. After `timeout` seconds raises `BatchWaitTimeoutError`;
        the batch goes on, and waiting again continues. Passing network faults do not end the wait.
        """
        return await poll_until_ended(
            lambda: self.status(batch_id), poll_interval=poll_interval, timeout=timeout
        )

    async def run(
        self,
        requests: Sequence[BatchRequest],
        poll_interval: float = 30.0,
        timeout: float = 86400.0,
    ) -> list[BatchResult]:
        """Submit, wait and return one result for each request, in the order of `requests`."""
        requests = list(requests)
        batch_id = await self.submit(requests)
        await self.wait(batch_id, poll_interval, timeout)
        return await self.results(batch_id, custom_ids=[item.custom_id for item in requests])

    async def cancel(self, batch_id: str) -> bool:
        """Ask Anthropic to stop the batch; False when it had already ended.

        Requests that were already processed keep their results and are billed. The batch ends a
        little later: `wait` for it. Cancelling twice is fine.
        """
        if (await self.status(batch_id)).is_complete:
            return False
        sdk = self._connected()
        try:
            await asked(lambda: sdk.messages.batches.cancel(batch_id), about(batch_id))
        except MeshflowError:
            # It may have ended between the two calls, or the answer may have been lost.
            job = await self.status(batch_id)
            if job.is_complete:
                return False
            if job.status != "canceling":
                raise
        return True

    async def list(self, limit: int | None = None) -> list[BatchJob]:
        """Return the batches of the key's workspace, newest first, at most `limit` of them."""
        if limit is not None and limit < 1:
            raise InvalidRequestError(f"limit: must be at least 1, got {limit}.")
        sdk = self._connected()

        async def read() -> list[BatchJob]:
            jobs: list[BatchJob] = []
            async for batch in sdk.messages.batches.list(limit=min(limit or 1000, 1000)):
                jobs.append(_job(batch))
                if len(jobs) == limit:
                    break
            return jobs

        return await asked(read, about(None))

    async def _stream_lines(self, path: str, batch_id: str) -> AsyncGenerator[bytes, None]:
        # The path is asked of the base URL rather than of the batch's `results_url`, so that the
        # key goes only to the host that it was configured for.
        import httpx2

        sdk = self._connected()
        response = await asked(
            lambda: sdk.get(
                path,
                cast_to=httpx2.Response,
                options={"headers": {"accept": "application/x-jsonl"}},
                stream=True,
            ),
            about(batch_id),
        )
        failure: ApiUnavailableError | None = None
        try:
            # Only b"\n" ends a row: model output holds U+2028 and U+0085, where str.splitlines
            # and the HTTP library's own line reader split as well.
            rest = b""
            async with aclosing(response.aiter_bytes()) as blocks:
                async for block in blocks:
                    *lines, rest = (rest + block).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield line
            if rest.strip():
                yield rest
        except httpx2.HTTPError as error:
            failure = ApiUnavailableError(
                f"Batch {batch_id!r}: the stream of results was cut: {error}.", batch_id=batch_id
            )
        finally:
            await response.aclose()
        if failure is not None:
            raise failure

    def _connected(self) -> AsyncAnthropic:
        if self._sdk is None:
            import anthropic

            failure: MeshflowError | None = None
            try:
                self._sdk = anthropic.AsyncAnthropic(**self._options)  # type: ignore[arg-type]
            except anthropic.AnthropicError as error:
                failure = CredentialsError(str(error))
            if failure:
                raise failure
        assert self._sdk is not None  # noqa: S101  (for the type checker: made just above)
        return self._sdk


def _job(batch: MessageBatch) -> BatchJob:
    counts = batch.request_counts.model_dump()
    status: JobStatus = batch.processing_status
    if status == "ended" and batch.cancel_initiated_at is not None and counts["canceled"]:
        status = "canceled"
    return BatchJob(
        batch_id=batch.id,
        status=status,
        request_counts=counts,
        created_at=batch.created_at,
        expires_at=batch.expires_at,
        ended_at=batch.ended_at,
        cancel_initiated_at=batch.cancel_initiated_at,
        archived_at=batch.archived_at,
    )
