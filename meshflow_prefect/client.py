"""AnthropicBatchClient: the calls of the Message Batches API. Knows nothing of Prefect."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from meshflow_prefect.answers import about, asked, create_failure, cut_off
from meshflow_prefect.batch_answers import created_id, job_of
from meshflow_prefect.chunking import Chunk, make_chunk
from meshflow_prefect.collecting import Download, collect, collect_each, stream
from meshflow_prefect.connecting import make_sdk
from meshflow_prefect.downloading import BATCHES, downloads
from meshflow_prefect.errors import (
    BatchNotEndedError,
    BatchNotFoundError,
    InvalidRequestError,
    MeshflowError,
    SubmissionUnknownError,
)
from meshflow_prefect.filesystems import shown
from meshflow_prefect.listing import read_list
from meshflow_prefect.looking import despite_stale_answers, look_at
from meshflow_prefect.models import BatchJob, BatchRequest, BatchResult, Collected
from meshflow_prefect.polling import check_schedule, poll_until_ended
from meshflow_prefect.pricing import load_prices

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

Enough: TypeAlias = Callable[[list[BatchJob]], bool]
"""Whether the batches that were listed so far will do."""


_COUNTED = ("messages", "model", "output_config", "system", "thinking", "tool_choice", "tools")
"""The parameters that the API counts tokens by."""

_SLOWEST_UPLOAD = 100_000
"""Bytes in a second, at least, with which the body of a create call goes out."""


class AnthropicBatchClient:
    """The Message Batches API in the words of this package, without Prefect.

    `api_key` wins over the environment (`ANTHROPIC_API_KEY` and whatever else the SDK reads), and
    so does `base_url` over `ANTHROPIC_BASE_URL`. One HTTP client serves all calls; close it with
    `async with` or `aclose`. Safe to use from several tasks of one event loop.

    Every call but `submit` is repeated up to `max_retries` times by the SDK after network faults,
    429 and 5xx, unless the API asks to wait for more than a minute; `submit` is sent once, because
    a repeated create makes, and bills, a second batch.
    """

    def __init__(
        self,
        api_key: str = "",
        *,
        base_url: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 2,
    ) -> None:
        """Check the terms; raises `InvalidRequestError`. Nothing is loaded or opened yet.

        Args:
            api_key: A key of Anthropic's, or a gateway's.
            base_url: An address that begins with `https://` or `http://`.
            timeout: Seconds for one call; to send a large body there are more.
            max_retries: Of calls that are not `submit`.
        """
        if not isinstance(timeout, int | float) or not timeout > 0:
            raise InvalidRequestError(f"timeout: must be more than 0 seconds, got {timeout!r}.")
        if not isinstance(max_retries, int) or max_retries < 0:
            raise InvalidRequestError(f"max_retries: must be 0 or more, got {max_retries!r}.")
        self._options: dict[str, Any] = {
            "api_key": api_key or None,
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": max_retries,
        }
        self._timeout = timeout
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
        url = self._options["base_url"]
        return f"AnthropicBatchClient(base_url={url and shown(url)!r})"

    async def connect(self) -> None:
        """Load the SDK and make its client now, rather than at the first call (about a second).

        Raises `CredentialsError` for a key that cannot be one, and `InvalidRequestError` for an
        address that is none. That there is no key at all shows at the first call.
        """
        await self._connected()

    async def submit(self, requests: Sequence[BatchRequest]) -> str:
        """Create one batch and return its id. Called twice, it makes (and bills) two batches.

        Raises `InvalidRequestError` or `BatchTooLargeError` before anything is sent,
        `SubmissionRefusedError` when Anthropic certainly made no batch, and
        `SubmissionUnknownError` when the answer was lost, so that there may be one.
        """
        return await self.create(make_chunk(requests))

    def create_seconds(self, chunk: Chunk) -> float:
        """Return for how long a create call may take: `timeout`, and the time to send that much."""
        return self._timeout + chunk.size / _SLOWEST_UPLOAD

    async def create(self, chunk: Chunk, *, until: datetime | None = None) -> str:
        """Send one create call for requests that are serialised already; see `submit`.

        It is given up at `until` at the latest, by the clock on the wall, so that a process that
        stood still in the meantime sends nothing any more. Left out: after `create_seconds`.
        """
        sdk = await self._connected()
        from anthropic.types.messages import MessageBatch

        ends = until or datetime.now(UTC) + timedelta(seconds=self.create_seconds(chunk))
        sent = 0

        async def blocks() -> AsyncIterator[bytes]:
            nonlocal sent
            for block in chunk.body():
                # Time that a process was stopped, or a machine slept, is not seen by timers.
                if datetime.now(UTC) >= ends:
                    raise TimeoutError
                # Before it goes out: what is counted is the most that can have arrived.
                sent += len(block)
                yield block

        headers = {"content-type": "application/json", "content-length": str(chunk.size)}

        async def send() -> str:
            answer = await sdk.post(
                BATCHES,
                content=blocks(),
                cast_to=MessageBatch,
                # The body goes out once, and to the address that was set.
                options={"headers": headers, "max_retries": 0, "follow_redirects": False},
            )
            return created_id(answer)

        try:
            async with asyncio.timeout((ends - datetime.now(UTC)).total_seconds()):
                return await asked(send, create_failure)
        except SubmissionUnknownError as lost:
            # Where it was given up, it may have been stopped amid anything.
            if sent == chunk.size or datetime.now(UTC) >= ends:
                raise
            raise cut_off(lost, sent=sent, size=chunk.size) from None
        except TimeoutError:
            raise SubmissionUnknownError(
                f"The create call was given up at {ends:%F %T %Z}, without an answer: there may be "
                "a batch, and it would be billed. `timeout_seconds` of the credentials, or "
                "`timeout` of the client, gives the call more time.",
                given_up=True,
            ) from None

    async def status(self, batch_id: str) -> BatchJob:
        """Return the batch as it is now. Raises `BatchNotFoundError` for an unknown id."""
        if not batch_id:
            raise BatchNotFoundError("batch_id: expected the id of a batch, got an empty text.")
        sdk = await self._connected()

        async def retrieve() -> BatchJob:
            return job_of(await sdk.messages.batches.retrieve(batch_id))

        return await asked(retrieve, about(batch_id))

    async def results(
        self, batch_id: str, *, custom_ids: Sequence[str] | None = None
    ) -> list[BatchResult]:
        """Return the results of an ended batch; reading them again is free for 29 days.

        With `custom_ids`: exactly one result for each, in that order, `missing` where there is no
        row that can be read, for which the result's `error_type` names the reason. Without: the
        API's rows, in the order in which they came, which is any order.

        A download that is cut is begun anew, and one that lacks rows is read again, so this may
        take minutes; see `collect` for what was wrong with the rows.

        Raises:
            BatchNotEndedError: the batch is still being processed.
            BatchNotFoundError: no such batch in the key's workspace.
            ResultsUnavailableError: the results are older than 29 days, and no ids are given.
            ApiUnavailableError: the download stopped again and again and brought no new row.
        """
        return (await self.collect(batch_id, custom_ids=custom_ids)).results

    async def collect(self, batch_id: str, *, custom_ids: Sequence[str] | None = None) -> Collected:
        """Return what `results` does, with how many rows were unreadable, unknown or absent."""
        if isinstance(custom_ids, str):
            raise InvalidRequestError(f"custom_ids: expected a list of ids, got {custom_ids!r}.")
        job = await self._ended(batch_id)
        return await collect(job, await self._download(job), custom_ids)

    async def collect_each(
        self,
        batch_id: str,
        custom_ids: Collection[str],
        take: Callable[[builtins.list[BatchResult]], None],
    ) -> Collected:
        """Give `take` exactly one result for each custom id, as they stream in, in any order.

        Does as `collect` does with ids, for batches whose results are not to be held. `take` is
        called with some results at a time, and must not take long: it runs in the event loop.
        """
        job = await self._ended(batch_id)
        return await collect_each(job, await self._download(job), custom_ids, take)

    async def iter_results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """Yield the results of an ended batch, each once, as they stream in, in any order.

        Survives cuts as `results` does, and raises the same errors; holds the ids that it has
        yielded, not the rows. Warns in the log when rows are unreadable or absent.
        """
        job = await self._ended(batch_id)
        async with aclosing(stream(job, await self._download(job))) as rows:
            async for result in rows:
                yield result

    async def wait(
        self, batch_id: str, poll_interval: float = 30.0, timeout: float | None = 86400.0
    ) -> BatchJob:
        """Sleep in this process until the batch has ended, and return it.

        Asks every `poll_interval` seconds. After `timeout` seconds raises `BatchWaitTimeoutError`;
        the batch goes on, and waiting again continues. 0: after one look; None: it waits until the
        batch has ended. Passing network faults do not end the wait.
        """

        async def look() -> BatchJob:
            # A batch that was made just now may not be visible yet.
            return await despite_stale_answers(lambda: self.status(batch_id), BatchNotFoundError)

        return await self._wait(look, poll_interval, timeout)

    async def _wait(
        self, look: Callable[[], Awaitable[BatchJob]], poll_interval: float, timeout: float | None
    ) -> BatchJob:
        _check_wait(poll_interval, timeout)
        ends = None if timeout is None else datetime.now(UTC) + timedelta(seconds=timeout)

        async def rest(wake: datetime, _why: str) -> None:
            await asyncio.sleep((wake - datetime.now(UTC)).total_seconds())

        (job,) = await poll_until_ended(
            [look],
            rest=rest,
            next_look=lambda _found: datetime.now(UTC) + timedelta(seconds=poll_interval),
            deadline=lambda _found: ends,
        )
        return job

    async def run(
        self,
        requests: Sequence[BatchRequest],
        poll_interval: float = 30.0,
        timeout: float | None = 86400.0,
    ) -> list[BatchResult]:
        """Submit, wait and return one result for each request, in the order of `requests`.

        `poll_interval` and `timeout` are those of `wait`, and are checked before anything is sent.
        After a `BatchWaitTimeoutError`, `wait` and `results` go on with its `batch_id`; to call
        `run` again makes, and pays for, another batch.
        """
        _check_wait(poll_interval, timeout)
        began = datetime.now(UTC)
        chunk = make_chunk(requests)
        custom_ids = chunk.custom_ids
        batch_id = await self.create(chunk)
        del chunk  # as large as the requests, and of no more use

        async def submitted_at() -> datetime:
            return began

        while True:
            # This batch was certainly made: a 404 need not mean that there is none.
            passed = (datetime.now(UTC) - began).total_seconds()
            left = None if timeout is None else max(0.0, timeout - passed)
            await self._wait(lambda: look_at(batch_id, self, submitted_at), poll_interval, left)
            try:
                return await despite_stale_answers(
                    lambda: self.results(batch_id, custom_ids=custom_ids),
                    BatchNotEndedError,
                    BatchNotFoundError,
                )
            except BatchNotEndedError:
                continue  # a replica that is far behind

    async def cancel(self, batch_id: str) -> bool:
        """Ask Anthropic to stop the batch; False when it had already ended.

        Requests that were already processed keep their results and are billed. The batch ends a
        little later: `wait` for it. Cancelling twice is fine.
        """
        if (await self.status(batch_id)).is_complete:
            return False
        sdk = await self._connected()
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

    async def list(
        self, limit: int | None = None, *, enough: Enough = lambda _jobs: False
    ) -> list[BatchJob]:
        """Return the batches of the key's workspace, newest first.

        At most `limit` of them, and no page after the one with which `enough`, asked with all that
        have come so far, is true. Raises `MeshflowError` where a list repeats itself without end.
        """
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise InvalidRequestError(f"limit: must be at least 1, got {limit!r}.")
        return await read_list(await self._connected(), limit=limit, enough=enough)

    async def count_tokens(self, params: Mapping[str, Any]) -> int:
        """Return how many input tokens a request of these Messages parameters has. It is free.

        Raises `MeshflowError` where it cannot be counted: an unknown model, a gateway without it.
        """
        from anthropic.types import MessageTokensCount

        counted = {name: params[name] for name in _COUNTED if name in params}
        sdk = await self._connected()

        async def count() -> int:
            answer = await sdk.post(
                "/v1/messages/count_tokens", body=counted, cast_to=MessageTokensCount
            )
            if not isinstance(answer.input_tokens, int):
                raise TypeError("the answer holds no count")
            return answer.input_tokens

        return await asked(count, about(None, subject="The count of tokens"))

    async def _download(self, job: BatchJob) -> Download:
        # As with the SDK: the first row would load the price list in the event loop.
        await asyncio.to_thread(load_prices)
        return downloads(await self._connected(), job)

    async def _ended(self, batch_id: str) -> BatchJob:
        job = await self.status(batch_id)
        if not job.is_complete:
            raise BatchNotEndedError(
                f"Batch {batch_id!r} is still {job.status.replace('_', ' ')}: its results can be "
                "read once it has ended. Call `wait` first, or `status` to look.",
                batch_id=batch_id,
            )
        return job

    async def _connected(self) -> AsyncAnthropic:
        if self._sdk is None:
            # Importing the SDK takes seconds, in which the event loop has other things to do.
            made = await asyncio.to_thread(make_sdk, **self._options)
            if self._sdk is None:
                self._sdk = made
            else:
                await made.close()
        return self._sdk


def _check_wait(poll_interval: float, timeout: float | None) -> None:
    check_schedule(poll_interval, timeout=None if timeout == 0 else timeout)  # 0: one look
