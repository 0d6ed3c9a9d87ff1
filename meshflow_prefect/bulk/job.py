"""A file job on its way through Anthropic: spooled chunks → batches → results on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from prefect.logging import get_run_logger

from meshflow_prefect.bulk.chunk_files import SpooledChunk
from meshflow_prefect.bulk.harvest import Harvest, Tally
from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.bulk.steps import collect_chunk
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.errors import CredentialsError, SubmissionRefusedError
from meshflow_prefect.jobs import submit, work_off
from meshflow_prefect.ledger import Entry
from meshflow_prefect.lost_results import only_collecting
from meshflow_prefect.models import BatchResult
from meshflow_prefect.terms import Terms


@dataclass(frozen=True)
class FilePiece:
    """What goes into one batch: a chunk, or those of its requests that are sent again."""

    number: int
    """Of the chunk."""
    chunk: SpooledChunk
    part: str
    """Its name in the ledger."""
    attempt: int = 1
    known: Entry | None = None
    """Its submission, where it is known already."""
    cost: Decimal = Decimal(0)
    """US$ that a further attempt is expected to cost; what the first ones may cost is estimated
    before there are any."""

    @property
    def requests(self) -> int:
        """How many requests it has."""
        return self.chunk.requests


@dataclass(kw_only=True)
class FileJob:
    """Brings the chunks of a plan through as many batches as it takes.

    A replay goes on where the disk and the ledger say that the job has come to.
    """

    name: str
    """Tells the job's submissions in the ledger from those of others."""
    plan: Plan
    place: Workplace
    terms: Terms
    progress: Progress
    max_cost: Decimal | None = None
    """US$ that may be spent before no further chunk is sent."""
    submitted: Mapping[str, Entry]
    """The submissions of earlier processes, by their part of the job."""
    read: Callable[[BatchResult], BatchResult] | None = None
    """What is made of each result; see `Harvest`."""
    unsent: int = field(default=0, init=False)
    """Requests that were not sent, because the job had cost enough, or of a refusal."""
    refusal: CredentialsError | SubmissionRefusedError | None = field(default=None, init=False)
    """Why nothing further was sent, where a create call was refused for good."""
    _has_submitted: bool = field(default=False, init=False)
    spent: Decimal = field(default=Decimal(0), init=False)
    """US$ that the batches which have been collected have cost."""

    async def run(self) -> None:
        """Return when the results of all chunks are on disk."""
        self.progress.requests, self.progress.chunks = self.plan.requests, len(self.plan.chunks)
        numbers = range(len(self.plan.chunks))
        pieces = await asyncio.to_thread(lambda: [self._next(number) for number in numbers])
        await work_off(pieces, self.terms, submit=self._submit, collect=self._collect)

    def tallies(self) -> list[Tally]:
        """Return the sums of all batches that have been collected: first attempts come first."""
        chunks = [self.place.tallies(self.plan, n) for n in range(len(self.plan.chunks))]
        return [tally for chunk in chunks for tally in chunk[:1]] + [
            tally for chunk in chunks for tally in chunk[1:]
        ]

    async def _submit(self, piece: FilePiece) -> str | None:
        if piece.known is not None and piece.known.batch_id:
            self.progress.chunks_sent += piece.attempt == 1
            return piece.known.batch_id
        if self.refusal is not None or (piece.known is None and self._is_too_dear(piece)):
            self._leave_out(piece)
            return None
        try:
            batch_id = await submit(piece.chunk, piece.part, self.plan.digest, self.terms)
        except (CredentialsError, SubmissionRefusedError) as refusal:
            if not (self._has_submitted or any(e.batch_id for e in self.submitted.values())):
                raise
            # What is paid for is collected and written before the job fails of this.
            get_run_logger().warning(
                "%s What was submitted before is collected; nothing further is sent.", refusal
            )
            self.refusal = refusal
            self._leave_out(piece)
            return None
        self._has_submitted = True
        self.progress.chunks_sent += piece.attempt == 1
        return batch_id

    def _leave_out(self, piece: FilePiece) -> None:
        # A second attempt that is not made leaves the results of the first.
        self.unsent += piece.requests if piece.attempt == 1 else 0

    async def _collect(self, piece: FilePiece, batch_id: str) -> FilePiece | None:
        whole = self.place.chunk(self.plan, piece.number)
        ids = await asyncio.to_thread(lambda: whole.custom_ids)
        positions = dict(zip(ids, range(len(ids)), strict=True))
        # The same requests as were sent, unless damaged rows were read otherwise since then.
        is_other = piece.known is not None and (
            piece.known.work.ids_digest != piece.chunk.ids_digest
        )
        if piece.attempt > 1 and not is_other:
            again = await asyncio.to_thread(lambda: piece.chunk.custom_ids)
            positions = {custom_id: positions[custom_id] for custom_id in again}
        done = self.place.tallies(self.plan, piece.number)[: piece.attempt - 1]
        earlier = self.place.open_results(self.plan, piece.number, attempts=len(done))
        try:
            tally = await collect_chunk(
                batch_id,
                # Prefect does not look into a partial for results of other tasks.
                partial(
                    Harvest,
                    self.place.results(self.plan, piece.number, piece.attempt),
                    positions,
                    whole.requests,
                    earlier=earlier,
                    read=self.read,
                ),
                credentials=self.terms.key,
                as_they_come=is_other,
            )
        finally:
            for results in earlier:
                results.close()
        self._spend(tally)
        if piece.attempt == 1:
            self.progress.batches_ended += 1
            self.progress.requests_ended += piece.requests
        return await asyncio.to_thread(self._again, piece.number, [*done, tally])

    def _is_too_dear(self, piece: FilePiece) -> bool:
        spent, most = self.spent, self.max_cost
        return most is not None and (spent >= most or spent + piece.cost > most)

    def _spend(self, *tallies: Tally) -> None:
        self.spent += sum((tally.cost for tally in tallies), Decimal(0))
        self.progress.cost_usd = self.spent

    def _next(self, number: int) -> FilePiece | None:
        """Return what of a chunk is to be done next, by what is on disk; None when all is."""
        tallies = self.place.tallies(self.plan, number)
        # What lacked rows is read once more: the missing ones may be there by now.
        whole = [tally for tally in tallies if tally.is_whole]
        if len(whole) < len(tallies) or not tallies:
            chunk, part = self.place.chunk(self.plan, number), part_of(self.name, number)
            return FilePiece(number, chunk, part, known=self.submitted.get(part))
        self.progress.chunks_sent += 1
        self.progress.batches_ended += 1
        self.progress.requests_ended += self.plan.chunks[number].requests
        self._spend(*tallies)
        return self._again(number, tallies)

    def _again(self, number: int, tallies: Sequence[Tally]) -> FilePiece | None:
        """Return what of a chunk is to be sent again, after so many attempts."""
        # More, where an earlier process was allowed more of them.
        if len(tallies) >= self.terms.max_attempts:
            return None
        attempt = len(tallies) + 1
        part = f"attempt-{attempt}-of-{tallies[0].batch_id}"
        known, again = self.submitted.get(part), tallies[-1].again
        if known is None and only_collecting():
            return None
        whole = self.place.chunk(self.plan, number)
        if again:
            path = whole.path.with_name(f"{whole.path.stem}-{attempt}.json")
            chunk = whole.some(again, path)
            return FilePiece(number, chunk, part, attempt, known, tallies[-1].cost_again)
        if known is not None and known.batch_id:
            return FilePiece(number, whole, part, attempt, known)
        return None


def part_of(job: str, number: int) -> str:
    """Return what a chunk of a job is called in the ledger."""
    return f"{job}-chunk-{number + 1}"
