"""The results file of an ended batch → results, through downloads that are cut, short or garbled.

The API cannot resume a download, so each begins at the first row; rows that are held are skipped.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from meshflow_prefect.errors import ApiUnavailableError, MeshflowError, ResultsUnavailableError
from meshflow_prefect.masking import without_key
from meshflow_prefect.models import BatchJob, BatchResult, Collected
from meshflow_prefect.reporting import reading_faults
from meshflow_prefect.results import in_input_order, missing, parse_row, removed, unreadable

Download: TypeAlias = Callable[[], AsyncGenerator[list[bytes], None]]
"""Begins the file anew and yields its lines as they come in, some at a time. Raises
`ApiUnavailableError` when it cannot be opened for now or is cut, and `ResultsUnavailableError` when
there is no such file any more."""

RESTARTS = 5
"""How many restarts in a row may bring no new row, before reading gives up."""
REREADINGS = 2
"""How often a file that came whole, but lacks rows or holds garbled ones, is read once more."""
_REREADINGS_OF_NOTHING = 4
"""The same of a file without any line, which may be one that is not there yet."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before the restart after 0, 1, 2 … restarts without a new row."""

_LONGEST_PAUSE = 60.0
_SHOWN = 80
_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([a-zA-Z0-9_-]{1,64})"')
_OTHER = re.compile(rb'\s*(<|\{\s*"(error"|type"\s*:\s*"error"))')
"""How the page of a proxy begins, and an error of the API's."""
_logger = logging.getLogger(__name__)


class Reading:
    """What has been read of one results file, however often it was begun."""

    def __init__(self, total: int, asked: Collection[str] | None = None) -> None:
        self.total = total
        """How many rows the file should have."""
        self.unknown: list[str] = []
        """The requests of rows that were read, and are none of those that were asked for."""
        self._asked = asked
        self.held: set[str] = set()
        """The requests whose row has been read."""
        self._garbled: dict[str, bytes] = {}
        self._nameless = 0
        self._other = b""
        self._has_begun = False

    def begin(self) -> None:
        """Say that the lines to come are those of the file's beginning."""
        # They come once more; those that name a request are told apart by it.
        self._nameless, self._other, self._has_begun = 0, b"", False

    def take(self, lines: Sequence[bytes]) -> list[BatchResult]:
        """Return the results that these lines add: of two rows for a request the first counts."""
        held, asked, fresh = self.held, self._asked, []
        if not self._has_begun and lines:
            self._has_begun = True
            self._other = lines[0][:_SHOWN] if _OTHER.match(lines[0]) else b""
        for line in lines:
            try:
                result = parse_row(line)
            except MeshflowError:
                self._note(line)
                continue
            if (name := result.custom_id) not in held:
                held.add(name)
                if asked is None or name in asked:
                    fresh.append(result)
                else:
                    self.unknown.append(name)
        return fresh

    @property
    def garbled(self) -> dict[str, bytes]:
        """The starts of unreadable lines, by the request that they name and that has no other."""
        return {name: line for name, line in self._garbled.items() if name not in self.held}

    @property
    def unreadable(self) -> int:
        """How many lines could not be read and were not replaced by a good one."""
        return len(self.garbled) + self._nameless

    @property
    def absent(self) -> int:
        """How many rows the file should have besides those that were read."""
        return max(0, self.total - len(self.held))

    @property
    def is_empty(self) -> bool:
        """Whether no line has come, the last time."""
        return not self._has_begun

    @property
    def is_whole(self) -> bool:
        """Whether reading once more could bring nothing new."""
        return not self.absent and not self.garbled

    def check_is_of(self, job: BatchJob) -> None:
        """Raise `ApiUnavailableError` where what was read last is something else than results.

        To take the requests for lost would throw away what is paid for.
        """
        if self._other and self.absent:
            shown = without_key(self._other.decode("utf-8", "replace"))
            raise ApiUnavailableError(
                f"Batch {job.batch_id!r}: in place of its results there came {shown!r}…",
                batch_id=job.batch_id,
            )

    def _note(self, line: bytes) -> None:
        # Inside of a text the quotes are escaped, so the model's words cannot be taken for an id.
        if (found := _CUSTOM_ID.search(line)) is None:
            self._nameless += 1
        else:
            self._garbled.setdefault(found[1].decode(), line[:_SHOWN])


async def collect(
    job: BatchJob, download: Download, custom_ids: Sequence[str] | None = None
) -> Collected:
    """Read the results of an ended batch; see `AnthropicBatchClient.collect`."""
    rows: list[BatchResult] = []
    if custom_ids is not None:
        collected = await collect_each(job, download, set(custom_ids), rows.extend)
        return replace(collected, results=in_input_order(custom_ids, rows))
    reading = Reading(job.total)
    async with aclosing(fresh_rows(reading, download)) as blocks:
        async for fresh in blocks:
            rows += fresh
    reading.check_is_of(job)
    rows += [unreadable(name, line) for name, line in reading.garbled.items()]
    return Collected(rows, reading.unreadable, (), reading.absent)


async def collect_each(
    job: BatchJob,
    download: Download,
    custom_ids: Collection[str],
    take: Callable[[list[BatchResult]], None],
) -> Collected:
    """Give `take` exactly one result for each custom id, some at a time, in any order.

    Holds no results, and so returns none. Those without a row that can be read come last.
    """
    # A batch may say that it has no requests at all; see `BatchJob.total`.
    reading = Reading(max(job.total, len(custom_ids)), custom_ids)
    gone = False
    try:
        async with aclosing(fresh_rows(reading, download)) as blocks:
            async for fresh in blocks:
                take(fresh)
        reading.check_is_of(job)
    except ResultsUnavailableError:
        gone = True
    garbled = reading.garbled

    def absent(custom_id: str) -> BatchResult:
        if gone:
            return removed(custom_id, job.batch_id)
        if (line := garbled.get(custom_id)) is not None:
            return unreadable(custom_id, line)
        return missing(custom_id)

    if not reading.held.issuperset(custom_ids):
        take([absent(name) for name in custom_ids if name not in reading.held])
    return Collected([], reading.unreadable, tuple(reading.unknown), reading.absent)


async def stream(job: BatchJob, download: Download) -> AsyncGenerator[BatchResult, None]:
    """Yield the results of an ended batch as they come in; holds no more than their ids.

    Rows that stay unreadable come last, as far as they name a request. Raises as `Download` does.
    """
    reading = Reading(job.total)
    async with aclosing(fresh_rows(reading, download)) as blocks:
        async for fresh in blocks:
            for result in fresh:
                yield result
    reading.check_is_of(job)
    for name, line in reading.garbled.items():
        yield unreadable(name, line)
    for words in reading_faults(Collected([], reading.unreadable, (), reading.absent)):
        _logger.warning("Batch %s: %s", job.batch_id, words)


async def fresh_rows(
    reading: Reading, download: Download
) -> AsyncGenerator[list[BatchResult], None]:
    """Yield each row once, some at a time, and begin anew until the file is read or has no more.

    Raises `ApiUnavailableError` after `RESTARTS` restarts in a row that brought no new row, and
    `ResultsUnavailableError` when the file is gone.
    """
    stalled, rereadings = -1, 0
    while True:
        reading.begin()
        before = len(reading.held)
        cut: ApiUnavailableError | None = None
        try:
            async with aclosing(download()) as blocks:
                async for lines in blocks:
                    if fresh := reading.take(lines):
                        yield fresh
        except ApiUnavailableError as error:
            cut = error
        most = _REREADINGS_OF_NOTHING if reading.is_empty else REREADINGS
        if reading.is_whole or (cut is None and rereadings >= most):
            return
        if cut is None:
            # A proxy may have ended the file early, or damaged it: no error tells.
            pause = PAUSES[rereadings]
            rereadings += 1
        else:
            stalled = 0 if len(reading.held) > before else stalled + 1
            if stalled == RESTARTS:
                raise cut
            told = cut.details.get("retry_after") or 0.0
            pause = max(PAUSES[stalled], min(told, _LONGEST_PAUSE))
        await asyncio.sleep(pause)
