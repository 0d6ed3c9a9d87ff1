"""A job that is held in memory: requests → chunks → batches → one result for each request."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self

from prefect import get_client
from prefect.runtime import flow_run
from prefect.utilities.annotations import quote

from meshflow_prefect.attempts import merge, worth_another_try
from meshflow_prefect.caching import first_of_each_prefix, with_cached_system
from meshflow_prefect.chunking import Chunk, HeldChunk, make_chunks, task_ids
from meshflow_prefect.errors import SubmissionUnknownError
from meshflow_prefect.ledgers import entry_of_batch, entry_of_part
from meshflow_prefect.lost_results import only_collecting
from meshflow_prefect.models import BatchRequest, BatchResult
from meshflow_prefect.queueing import P, Queue
from meshflow_prefect.reporting import counted
from meshflow_prefect.results import in_order_of_ids
from meshflow_prefect.tasks import collect_results, poll_batch, poll_batches, submit_chunk
from meshflow_prefect.terms import Terms


@dataclass(frozen=True)
class Piece:
    """What goes into one batch: a chunk, or those of its requests that are sent again."""

    number: int
    """Which chunk of the job it is, or comes from."""
    chunk: HeldChunk
    part: str
    """Its name in the ledger."""
    attempt: int = 1
    batch_id: str = ""
    """The batch, where it is known already."""

    @property
    def requests(self) -> int:
        """How many requests it has."""
        return self.chunk.requests


class Job:
    """Brings requests through as many batches as it takes."""

    def __init__(
        self,
        requests: Sequence[BatchRequest],
        chunks: Sequence[HeldChunk],
        order: Sequence[int],
        terms: Terms,
        *,
        names_itself: bool,
    ) -> None:
        """Begin with nothing done; see `of`."""
        self.batch_ids: list[str] = []
        """In the order of their submission."""
        self._requests, self._chunks, self._order, self._terms = requests, chunks, order, terms
        self._names_itself = names_itself
        self._results: list[list[BatchResult]] = [[] for _ in chunks]
        self._first_batches = [""] * len(chunks)
        self._starts = [0]
        for chunk in chunks:
            self._starts.append(self._starts[-1] + chunk.requests)

    @property
    def custom_ids(self) -> list[str]:
        """The ids of all requests, in the order in which they are sent."""
        return [custom_id for chunk in self._chunks for custom_id in chunk.custom_ids]

    @classmethod
    def of(cls, requests: Sequence[BatchRequest], terms: Terms, *, names_itself: bool) -> Self:
        """Check, prepare and serialise the requests. Takes its time: call it in a thread.

        `names_itself` gives them ids that come from the content, so that a replay with other
        content has other ids than what was submitted; else their own are kept.
        """
        if terms.output is not None:
            requests = [terms.output.ask(request) for request in requests]
        if terms.cache_system:
            requests = with_cached_system(requests)
        first = set(first_of_each_prefix(requests) if terms.warm_cache else ())
        order = sorted(range(len(requests)), key=lambda position: position not in first)
        requests = [requests[position] for position in order]
        chunks = make_chunks(requests, limits=terms.limits, apart=len(first))
        if names_itself:
            chunks = named_after(chunks, terms.job_key)
        return cls(requests, chunks, order, terms, names_itself=names_itself)

    async def run(self) -> list[BatchResult]:
        """Return exactly one result for each request, in their order."""
        pieces = [
            Piece(number, chunk, f"chunk-{number + 1}" if number else "attempt-1")
            for number, chunk in enumerate(self._chunks)
        ]
        await work_off(pieces, self._terms, submit=self._submit, collect=self._collect)
        results = [result for results in self._results for result in results]
        back = sorted(range(len(results)), key=self._order.__getitem__)
        return [results[position] for position in back]

    async def _read(self, results: list[BatchResult]) -> list[BatchResult]:
        """Return results whose replies are checked, where they have to be of a type."""
        output = self._terms.output
        if output is None:
            return results
        return await asyncio.to_thread(lambda: [output.parse(result) for result in results])

    async def _submit(self, piece: Piece) -> str:
        job_digest = digest_of(self._chunks) if len(self._chunks) > 1 else ""
        batch_id = piece.batch_id or await submit(piece.chunk, piece.part, job_digest, self._terms)
        self.batch_ids.append(batch_id)
        return batch_id

    async def _collect(self, piece: Piece, batch_id: str) -> Piece | None:
        """Take in the results of a batch, and return what of it is to be sent again."""
        if piece.attempt == 1:
            ids, is_changed = await self._submitted_ids(piece, batch_id)
            rows = await collect_results(batch_id, quote(ids), credentials=self._terms.key)
            results = await self._read(rows)
            self._first_batches[piece.number] = batch_id
        else:
            # Without ids: where rows of the first batch were damaged, a replay may see more or
            # fewer of them as failed than were sent again. What was sent again has rows here.
            rows = await collect_results(batch_id, credentials=self._terms.key)
            again = await self._read(rows)
            results, is_changed = merge(self._results[piece.number], again), False
        self._results[piece.number] = results
        if piece.attempt == self._terms.max_attempts:
            return None
        return await self._again(piece, is_changed)

    async def _again(self, piece: Piece, is_changed: bool) -> Piece | None:
        # Named after the first batch: of several jobs in one flow, each finds its own again.
        first = self._first_batches[piece.number]
        attempt = piece.attempt + 1
        part = f"attempt-{attempt}-of-{first}"
        async with get_client() as prefect:
            entry = await entry_of_part(prefect, self._terms.job_key, part)
        batch_id = entry.batch_id if entry is not None else ""
        results = self._results[piece.number]
        start = self._starts[piece.number]
        pending = [
            replace(self._requests[start + position], custom_id=result.custom_id)
            for position, result in enumerate(results)
            if worth_another_try(result)
        ]
        # What is sent again is what was sent, not what a redeploy has made of it.
        if not batch_id and (not pending or is_changed or only_collecting()):
            return None
        chunk = piece.chunk
        if pending:
            (chunk,) = make_chunks(pending, limits=self._terms.limits)
        return Piece(piece.number, chunk, part, attempt, batch_id)

    async def _submitted_ids(self, piece: Piece, batch_id: str) -> tuple[Sequence[str], bool]:
        """Return the ids under which a chunk was submitted, and whether its content was another.

        A redeploy may have changed the requests: the rows have the ids of what was submitted.
        """
        async with get_client() as prefect:
            entry = await entry_of_batch(prefect, batch_id)
        assert entry is not None  # noqa: S101  (submit_chunk has recorded it)
        is_changed = entry.work.digest != piece.chunk.digest
        if self._names_itself:
            digest = entry.work.job_digest or entry.work.digest
            start = self._starts[piece.number]
            count = start + piece.requests
            return ids_of_job(digest, count, self._terms.job_key)[start:], is_changed
        if entry.work.ids_digest != piece.chunk.ids_digest:
            raise SubmissionUnknownError(
                f"This run submitted batch {batch_id!r} at {entry.intended_at}, and its requests "
                "have other custom ids now. Nothing was sent. Collect that batch by its id, or "
                "start a new run for the changed requests.",
                batch_id=batch_id,
            )
        return piece.chunk.custom_ids, is_changed


def digest_of(chunks: Sequence[HeldChunk]) -> str:
    """Return a digest of the content of all chunks of a job."""
    if len(chunks) == 1:
        return chunks[0].digest
    return hashlib.sha256("".join(chunk.digest for chunk in chunks).encode()).hexdigest()


def ids_of_job(digest: str, count: int, job_key: str) -> list[str]:
    """Return the ids of a job: of its key or root run, and its content, as a replay has them."""
    job = f"key {job_key}" if job_key else str(flow_run.root_flow_run_id)
    return task_ids(f"{job}:{digest}", count)


def named_after(chunks: Sequence[HeldChunk], job_key: str) -> list[HeldChunk]:
    """Return the chunks of a job with the ids of that job, in place of as long ones."""
    count = sum(chunk.requests for chunk in chunks)
    ids = iter(ids_of_job(digest_of(chunks), count, job_key))
    return [chunk.renamed(list(islice(ids, chunk.requests))) for chunk in chunks]


async def work_off(
    pieces: Sequence[P | None],
    terms: Terms,
    *,
    submit: Callable[[P], Awaitable[str | None]],
    collect: Callable[[P, str], Awaitable[P | None]],
) -> None:
    """Bring the pieces of a job to their end; None stands for a chunk that is done already."""
    # What fills the cache ends before the others begin.
    first = 1 if terms.warm_cache else 0
    for some in (pieces[:first], pieces[first:]):
        await Queue(
            [piece for piece in some if piece is not None],
            most_requests=terms.max_requests_in_queue,
            submit=submit,
            ended=lambda batch_ids: wait(batch_ids, terms),
            collect=collect,
        ).work_off()


async def submit(chunk: Chunk, part: str, job_digest: str, terms: Terms) -> str:
    """Return the batch of one part of a job, by a task run that says how much it is."""
    named = submit_chunk.with_options(task_run_name=f"submit {counted(chunk.requests, 'request')}")
    batch_id: str = await named(
        # Prefect would visit each request of it, in search of results of other tasks.
        quote(chunk),
        part=part,
        job_digest=job_digest,
        **terms.of_submission,
    )
    return batch_id


async def wait(batch_ids: Sequence[str], terms: Terms) -> list[str]:
    """Wait until one of the batches has ended, and return those that have."""
    if len(batch_ids) == 1:
        return [(await poll_batch(batch_ids[0], **terms.of_wait)).batch_id]
    return [job.batch_id for job in await poll_batches(batch_ids, **terms.of_wait)]


async def collect_existing(batch_ids: Sequence[str], terms: Terms) -> list[BatchResult]:
    """Wait for batches that were created elsewhere, and collect them in turn."""
    rows: list[BatchResult] = []
    for batch_id in batch_ids:
        await poll_batch(batch_id, **terms.of_wait)
        rows += in_order_of_ids(await collect_results(batch_id, credentials=terms.key))
    return rows
