"""Results in any order, in many files → one row for each input row, in input order.

Nothing is held, for the spool says of each row where its result is.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.bulk.harvest import Results, latest, rest_of
from meshflow_prefect.bulk.plan import NOT_SENT
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.models import BatchResult, ResultStatus
from meshflow_prefect.sinks import Sink

_OPEN_CHUNKS = 64
"""How many chunks' results are held open: more than one only where equal rows share a result."""

BAD_ROW, OVER_BUDGET, REFUSED = "bad_row", "max_cost_reached", "submission_refused"
"""The `error_type` of rows that were not sent."""


_KINDS = 20
"""How many different failures, and how many bad rows, are kept in words; the rows hold all."""


@dataclass
class Endings:
    """How the rows of the output have ended."""

    statuses: Counter[ResultStatus] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """What went wrong with requests, in words, and with how many: the first kinds that were met."""
    problems: list[str] = field(default_factory=list)
    """What is wrong with rows that were no requests, each with its place: of the first."""

    def count(self, status: ResultStatus, rest: bytes) -> None:
        """Add the row of a request, by its status and its JSON (see `Results.rest`)."""
        self.statuses[status] += 1
        if status != "succeeded":
            error = orjson.loads(b"{" + rest)["error"]
            if len(self.failures) < _KINDS or error in self.failures:
                self.failures[error] += 1

    def count_bad(self, why: str) -> None:
        """Add a row that was no request."""
        self.statuses["errored"] += 1
        if len(self.problems) < _KINDS:
            self.problems.append(why)


class ChunkResults:
    """The results of all chunks, opened when they are asked for."""

    def __init__(
        self, opened: Callable[[int], Sequence[Results]], *, refusal: str | None = None
    ) -> None:
        """Open nothing yet: `opened` does that for one chunk, and each attempt at it.

        `refusal` says why requests were not sent; None: the job had cost enough.
        """
        self._opened = opened
        why = refusal or "the job had cost as much as `max_cost_usd` allows."
        self._unsent = rest_of(
            BatchResult(
                "",
                "canceled",
                error=f"The request was not sent: {why}",
                error_type=OVER_BUDGET if refusal is None else REFUSED,
                attempts=0,
            )
        )
        self._open: OrderedDict[int, Sequence[Results]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        while self._open:
            self._close_oldest()

    def find(self, chunk: int, position: int) -> tuple[ResultStatus, bytes]:
        """Return the status and the JSON (see `Results.rest`) of one result."""
        attempts = self._open.get(chunk)
        if attempts is None:
            if len(self._open) == _OPEN_CHUNKS:
                self._close_oldest()
            attempts = self._open[chunk] = self._opened(chunk)
        self._open.move_to_end(chunk)
        found = latest(attempts, position)
        if found is None:
            return "canceled", self._unsent
        return found.status(position), found.rest(position)

    def _close_oldest(self) -> None:
        for results in self._open.popitem(last=False)[1]:
            results.close()


class Shared:
    """Which results have a row already, where several rows may share one: it is billed once."""

    def __init__(self) -> None:
        self._used: defaultdict[int, bytearray] = defaultdict(bytearray)

    def for_row(self, chunk: int, position: int, rest: bytes) -> bytes:
        """Return the JSON of a result as it stands in one more row."""
        used = self._used[chunk]
        if position >= len(used):
            used.extend(bytes(position + 1 - len(used)))
        if not used[position]:
            used[position] = 1
            return rest
        values = exact_json.loads(b"{" + rest)
        values["tokens"] = 0
        if values["cost_usd"] is not None:
            values["cost_usd"] = 0.0
        return exact_json.dumps(values)[1:]


def assemble(
    rows: Path, results: ChunkResults, sink: Sink, progress: Progress, shared: Shared | None = None
) -> Endings:
    """Write the output, and return how its rows have ended.

    `shared` is for a source of which some rows share their requests.
    """
    endings = Endings()
    with rows.open("rb") as lines:
        for line in lines:
            chunk, position, row_id, *columns = orjson.loads(line)
            if chunk == NOT_SENT:
                rest = _bad_row(position)
                endings.count_bad(position)
            else:
                status, rest = results.find(chunk, position)
                endings.count(status, rest)
                if shared is not None:
                    rest = shared.for_row(chunk, position, rest)
            if columns and columns[0]:
                # Behind the result's own columns.
                if exact_json.lacks_digits(columns):
                    columns = exact_json.loads(line)[-1:]
                rest = rest[:-1] + b"," + exact_json.dumps(columns[0])[1:]
            sink.write(b'{"custom_id":%b,%b' % (orjson.dumps(row_id), rest))
            progress.rows_written += 1
    return endings


def _bad_row(why: str) -> bytes:
    return rest_of(BatchResult("", "errored", error=why, error_type=BAD_ROW, attempts=0))
