"""What a spool holds: the chunks of a job, and where the result of each input row will be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from meshflow_prefect.parquet_sink import ColumnType

NOT_SENT = -1
"""Stands for the chunk of a row that is no request: its problem stands in place of the position."""

_FILE = "plan.json"


@dataclass(frozen=True)
class ChunkPlan:
    """One chunk: what goes into one batch."""

    requests: int
    size: int
    """Of the body of its create call, in bytes."""
    digest: str
    ids_digest: str


class Marks(NamedTuple):
    """What makes the tokens of a request dearer than others of its model."""

    cached: bool
    """Whether it marks something for the prompt cache."""
    in_us: bool
    """Whether it is to be processed in the US."""

    @classmethod
    def of(cls, params: bytes) -> Marks:
        """Return those of a request's serialised parameters.

        Where a prompt only speaks of these things the estimate is a little high, never low.
        """
        return cls(b"cache_control" in params, b"inference_geo" in params)


@dataclass
class ModelShare:
    """What one model is asked for."""

    requests: int = 0
    size: int = 0
    """Of the requests in the body of create calls, in bytes."""
    max_tokens: int = 0
    """The most tokens that all replies together may have."""
    longest: int = 0
    """Bytes of the longest request: some prices depend on the length of the prompt."""
    cached: int = 0
    """Bytes of the requests that mark something for the prompt cache, which costs more to write."""
    in_us: bool = False
    """Whether some are to be processed in the US, which costs more."""

    def add(self, size: int, max_tokens: int, *, marks: Marks) -> None:
        """Count one more request, which takes so many bytes in the body."""
        self.requests += 1
        self.size += size
        self.max_tokens += max_tokens
        if size > self.longest:
            self.longest = size
        if marks.cached:
            self.cached += size
        if marks.in_us:
            self.in_us = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was made of a source. Written when the spool is whole."""

    fingerprint: str
    """Of the source's files, when they were read."""
    settings: str
    """Digest of how they were read: the prompt, the model, the limits, …"""
    digest: str
    """Of all requests, and of which row each belongs to."""
    rows: int
    bad_rows: int
    """Rows that could not be made requests of, and are told so in the output."""
    duplicates: int
    """Rows whose request is the same as an earlier row's, and is sent once."""
    chunks: tuple[ChunkPlan, ...]
    models: Mapping[str, ModelShare]
    columns: Mapping[str, ColumnType]
    """The input's columns that go into the output, under their names there."""

    @property
    def requests(self) -> int:
        """How many requests are sent."""
        return sum(chunk.requests for chunk in self.chunks)

    @property
    def size(self) -> int:
        """Bytes of all create calls together."""
        return sum(chunk.size for chunk in self.chunks)

    def write(self, directory: Path) -> None:
        """Write the plan, which says that the spool is whole."""
        part = directory / f"{_FILE}.part"
        part.write_bytes(orjson.dumps(asdict(self)))
        part.replace(directory / _FILE)

    @classmethod
    def read(cls, directory: Path) -> Plan | None:
        """Return the plan of a whole spool, or None."""
        try:
            stored: dict[str, Any] = orjson.loads((directory / _FILE).read_bytes())
        except FileNotFoundError:
            return None
        chunks = tuple(ChunkPlan(**chunk) for chunk in stored.pop("chunks"))
        models = {name: ModelShare(**share) for name, share in stored.pop("models").items()}
        return cls(chunks=chunks, models=models, **stored)
