"""The results of one batch, on disk: as they came, with an index by the request's position.

results-00000-1.4f….jsonl    each result as JSON, without its braces' first and its custom id
results-00000-1.4f….index    where each position's result is, and its status
results-00000-1.json         put in its place last: the sums, which requests are worth another try,
                             and which files these are, as two executions of a run may write some
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from decimal import Decimal
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.attempts import after, worth_another_try
from meshflow_prefect.caching import cache_saving
from meshflow_prefect.models import BatchResult, ResultStatus
from meshflow_prefect.pricing import exact, standard_cost_of
from meshflow_prefect.whole_files import whole_file
from meshflow_prefect.write_behind import open_write_behind

_STATUSES: tuple[ResultStatus, ...] = get_args(ResultStatus)
_NUMBERS = {status: number for number, status in enumerate(_STATUSES)}
_FIELDS = [each.name for each in fields(BatchResult)]
_BUFFER = 1 << 20


@dataclass
class Tally:
    """The sums over the results of one batch."""

    batch_id: str = ""
    is_whole: bool = True
    """Whether every request had a row that could be read, so that reading again is of no use."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = field(default_factory=Decimal)
    """US$, of the rows whose cost is known."""
    standard_cost: Decimal = field(default_factory=Decimal)
    """US$, what the same would have cost outside of a batch."""
    cache_read_tokens: int = 0
    saved_by_cache: Decimal = field(default_factory=Decimal)
    """US$ that the prompt cache has saved; negative where writing cost more than reading saved."""
    refused: int = 0
    """Replies that are refusals."""
    paid: int = 0
    """Rows that have cost something."""
    unknown_cost: int = 0
    """Rows whose cost is not known."""
    again: list[int] = field(default_factory=list)
    """Positions of the requests that are worth another try."""
    files: str = ""
    """Tells the files of these results from those of another harvest of the same batch."""

    def count(self, result: BatchResult) -> None:
        """Add one result, as it came."""
        usage = result.usage
        output = int(usage.get("output_tokens") or 0)
        self.output_tokens += output
        self.input_tokens += result.tokens - output
        self.refused += result.refused
        if result.cost_usd is None:
            self.unknown_cost += 1
        elif result.model is not None and usage:
            cost = exact(result.cost_usd)
            self.paid += 1
            self.cost += cost
            self.standard_cost += standard_cost_of(result.model, usage, cost) or 0
            if result.tokens - output > int(usage.get("input_tokens") or 0):
                saving = cache_saving([result])
                self.cache_read_tokens += saving.read_tokens
                self.saved_by_cache += exact(saving.saved_usd or 0.0)

    @property
    def cost_again(self) -> Decimal:
        """US$ that another try of what is worth one will cost, at the average of this one."""
        return self.cost / self.paid * len(self.again) if self.paid else Decimal(0)

    def to_json(self) -> bytes:
        """Return the tally for `from_json`."""
        return orjson.dumps(vars(self), default=str)

    @classmethod
    def from_json(cls, stored: bytes) -> Tally:
        """Return what `to_json` was given."""
        values: dict[str, Any] = orjson.loads(stored)
        for name in ("cost", "standard_cost", "saved_by_cache"):
            values[name] = Decimal(values[name])
        return cls(**values)


class Harvest:
    """Takes in the results of a batch. Nothing is at its place until `close` has put it there."""

    def __init__(
        self,
        path: Path,
        positions: Mapping[str, int],
        requests: int,
        *,
        earlier: Sequence[Results] = (),
        read: Callable[[BatchResult], BatchResult] | None = None,
    ) -> None:
        """Begin.

        Args:
            path: Where the results will be, without the ending.
            positions: Of the requests of this batch in their chunk, by custom id.
            requests: How many requests the chunk has.
            earlier: The results of earlier attempts, whose costs are added to those of this one.
            read: What is made of each result before anything else: the check of its output, say.
        """
        self.positions = positions
        self._path, self._earlier, self._read = path, earlier, read
        self._unique, self._is_closed = uuid4().hex, False
        written = _part(path, self._unique, ".jsonl")
        self._file = open_write_behind(written, is_read_soon=True, buffering=_BUFFER)
        self._end = 0
        self._offsets = array("Q", bytes(8 * requests))
        self._lengths = array("L", bytes(array("L").itemsize * requests))
        self._statuses = bytearray(requests)
        self.tally = Tally()

    @property
    def directory(self) -> Path:
        """Where the results are written."""
        return self._path.parent

    def take(self, results: Sequence[BatchResult]) -> None:
        """Write results of requests of this batch, each once."""
        positions, tally = self.positions, self.tally
        for result in results:
            position = positions[result.custom_id]
            if self._read is not None:
                result = self._read(result)
            tally.count(result)
            if result.status != "succeeded" and worth_another_try(result):
                tally.again.append(position)
            if self._earlier and (old := latest(self._earlier, position)):
                result = after(old.result(position), result)
            line = rest_of(result)
            size = self._file.write(line)
            self._offsets[position], self._lengths[position] = self._end, size
            self._statuses[position] = _NUMBERS[result.status]
            self._end += size

    def close(self, batch_id: str, *, is_whole: bool) -> Tally:
        """Put the results in their place."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.tally.batch_id, self.tally.is_whole = batch_id, is_whole
        self.tally.files = self._unique
        self.tally.again.sort()
        with _part(self._path, self._unique, ".index").open("xb") as index:
            index.write(self._offsets)
            index.write(self._lengths)
            index.write(self._statuses)
            index.flush()
            os.fsync(index.fileno())
        with whole_file(self._path.with_suffix(".json")) as file:
            file.write(self.tally.to_json())
        self._is_closed = True
        return self.tally

    def abandon(self) -> None:
        """Remove what was written, unless it is in its place."""
        with suppress(OSError):  # what is given up need not reach the disk
            self._file.close()
        if not self._is_closed:
            for ending in (".jsonl", ".index"):
                _part(self._path, self._unique, ending).unlink(missing_ok=True)


class Results:
    """The results of one batch, as a harvest has left them."""

    def __init__(self, path: Path, requests: int) -> None:
        """Open the files of a chunk of so many requests."""
        tally = Tally.from_json(path.with_suffix(".json").read_bytes())
        with _part(path, tally.files, ".index").open("rb") as stored:
            self._index = mmap(stored.fileno(), 0, access=ACCESS_READ)
        offsets_end = 8 * requests
        lengths_end = offsets_end + array("L").itemsize * requests
        with memoryview(self._index) as index:
            self._offsets = index[:offsets_end].cast("Q")
            self._lengths = index[offsets_end:lengths_end].cast("L")
            self._statuses = index[lengths_end:]
        self._file = _part(path, tally.files, ".jsonl").open("rb")
        self._descriptor = self._file.fileno()

    def close(self) -> None:
        """Close the files."""
        for view in (self._offsets, self._lengths, self._statuses):
            view.release()
        self._index.close()
        self._file.close()

    def __contains__(self, position: int) -> bool:
        return bool(self._lengths[position])

    def rest(self, position: int) -> bytes:
        """Return the JSON of a result, from behind its custom id to its closing brace."""
        return os.pread(self._descriptor, self._lengths[position], self._offsets[position])

    def status(self, position: int) -> ResultStatus:
        """Return the status of a result."""
        return _STATUSES[self._statuses[position]]

    def result(self, position: int) -> BatchResult:
        """Return a result, without its custom id."""
        values = exact_json.loads(b"{" + self.rest(position))
        return BatchResult("", **{name: values[name] for name in _FIELDS[1:]})


def latest(attempts: Sequence[Results], position: int) -> Results | None:
    """Return the last attempt that has a result for a position."""
    for each in reversed(attempts):
        if position in each:
            return each
    return None


def rest_of(result: BatchResult) -> bytes:
    """Return the JSON of a result, from behind its custom id to its closing brace."""
    values = result.to_dict()
    del values["custom_id"]
    return exact_json.dumps(values, option=orjson.OPT_PASSTHROUGH_DATACLASS)[1:]


def tally_of(path: Path) -> Tally | None:
    """Return the sums of a batch whose results are in their place, or None."""
    try:
        return Tally.from_json(path.with_suffix(".json").read_bytes())
    except FileNotFoundError:
        return None


def _part(path: Path, unique: str, ending: str) -> Path:
    return path.with_name(f"{path.name}.{unique}{ending}")
