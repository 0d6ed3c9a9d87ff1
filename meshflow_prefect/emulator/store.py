"""Batches on disk: one folder each, complete or not there at all.

batches/<id>/batch.json       the record
batches/<id>/requests.jsonl   the requests, one a line, in the order in which they came
batches/<id>/index.bin        where each request is, in the order in which rows finish
incoming/                     create bodies that are still arriving
clock.json                    what time it is here
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from meshflow_prefect.emulator.batches import Batch
from meshflow_prefect.emulator.clock import Anchor
from meshflow_prefect.emulator.tokens import CachedTokens

REQUESTS = "requests.jsonl"
INDEX = "index.bin"
_RECORD = "batch.json"
_ROW = struct.Struct("<IQIIII")
_ROWS_AT_ONCE = 4_096


class Row(NamedTuple):
    """Where a request is in the requests file, and what it has to do with the prompt cache."""

    place: int
    """Which request of the batch it is; they count from 0."""

    offset: int
    length: int
    cached: CachedTokens

    def packed(self) -> bytes:
        """Return this row as bytes of fixed length."""
        return _ROW.pack(self.place, self.offset, self.length, *self.cached)


class Store:
    """The batches of an emulator: records in memory, everything else on disk."""

    def __init__(self, directory: Path) -> None:
        """Open a directory, with the batches that an earlier emulator left in it."""
        self._directory = directory
        self._batches: dict[str, Batch] = {}
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        self._complete.mkdir(exist_ok=True)
        records = [
            Batch.from_json(orjson.loads(path.read_bytes()))
            for path in self._complete.glob(f"*/{_RECORD}")
        ]
        for batch in sorted(records, key=lambda batch: batch.sequence):
            self._batches[batch.id] = batch
        self._last_sequence = max((batch.sequence for batch in records), default=0)

    @property
    def _incoming(self) -> Path:
        return self._directory / "incoming"

    @property
    def _complete(self) -> Path:
        return self._directory / "batches"

    def place_for(self, batch_id: str) -> Path:
        """Return an empty folder in which the requests of a new batch are gathered."""
        place = self._incoming / batch_id
        place.mkdir()
        return place

    def discard(self, batch_id: str) -> None:
        """Remove what has arrived of a batch that is not to be."""
        shutil.rmtree(self._incoming / batch_id, ignore_errors=True)

    def add(self, batch: Batch) -> None:
        """Accept a batch whose requests have all arrived."""
        self._write(self._incoming / batch.id, batch)
        (self._incoming / batch.id).replace(self._complete / batch.id)
        self._batches[batch.id] = batch
        self._last_sequence = batch.sequence

    def save(self, batch: Batch) -> None:
        """Keep what has changed in a record."""
        self._write(self._complete / batch.id, batch)

    def get(self, batch_id: str) -> Batch | None:
        """Return a batch by its id."""
        return self._batches.get(batch_id)

    def newest_first(self) -> list[Batch]:
        """Every batch, the newest first."""
        return list(reversed(self._batches.values()))

    def next_sequence(self) -> int:
        """Return the sequence number for a new batch."""
        return self._last_sequence + 1

    def delete(self, batch_id: str) -> None:
        """Forget a batch."""
        del self._batches[batch_id]
        shutil.rmtree(self._complete / batch_id, ignore_errors=True)

    def clear(self) -> None:
        """Forget every batch, and begin to count from 1 again."""
        for batch_id in list(self._batches):
            self.delete(batch_id)
        self._last_sequence = 0

    def folder(self, batch_id: str) -> Path:
        """Where the files of an accepted batch are."""
        return self._complete / batch_id

    def rows(self, batch_id: str) -> Iterator[Row]:
        """Yield the rows of a batch, in the order in which they finish."""
        with (self._complete / batch_id / INDEX).open("rb") as index:
            while piece := index.read(_ROW.size * _ROWS_AT_ONCE):
                for place, offset, length, *cached in _ROW.iter_unpack(piece):
                    yield Row(place, offset, length, CachedTokens(*cached))

    def read_anchor(self) -> Anchor | None:
        """Return the time that an earlier emulator kept, if there was one."""
        path = self._directory / "clock.json"
        return Anchor(**orjson.loads(path.read_bytes())) if path.exists() else None

    def keep_anchor(self, anchor: Anchor) -> None:
        """Keep the time for an emulator that comes later."""
        _replace(self._directory / "clock.json", asdict(anchor))

    def _write(self, folder: Path, batch: Batch) -> None:
        _replace(folder / _RECORD, batch.as_json())


def _replace(path: Path, value: Any) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one, never half."""
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(orjson.dumps(value))
    os.replace(unfinished, path)  # noqa: PTH105 - the name says what it is for
