"""The chunks of a spool, each in a file that is the body of its create call.

Beside `chunk-00000.json` stands `chunk-00000.ids`: whose they are is asked for much more often than
what they say, which may be 256 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import orjson

from meshflow_prefect.bulk.plan import ChunkPlan
from meshflow_prefect.chunking import HEAD, SEPARATOR, TAIL, Filling, Limits, ids_digest, item_of
from meshflow_prefect.write_behind import forget, open_write_behind

_BUFFER = 1 << 20


class ChunkFile:
    """A chunk that is being written."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Begin the file; it must not be there."""
        self._path = path
        self._file = open_write_behind(path, is_read_soon=True, buffering=_BUFFER)
        self.filling = Filling(limits)
        self._ids: list[str] = []
        self._file.write(HEAD)

    def add(self, item: bytes, params: bytes, custom_id: str) -> None:
        """Write one more request."""
        if self._ids:
            self._file.write(SEPARATOR)
        self._file.write(item)
        self.filling.add(item, params)
        self._ids.append(custom_id)

    def close(self) -> ChunkPlan:
        """End the file, and return what is in it."""
        self._file.write(TAIL)
        self._file.close()
        _ids_of(self._path).write_text("\n".join(self._ids))
        filling = self.filling
        return ChunkPlan(filling.requests, filling.size, filling.digest, ids_digest(self._ids))

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()


@dataclass(frozen=True)
class SpooledChunk:
    """A chunk in its file; see `chunking.Chunk`."""

    path: Path
    requests: int
    size: int
    digest: str
    ids_digest: str

    @property
    def custom_ids(self) -> tuple[str, ...]:
        """The ids of the requests, in their order; read from their file."""
        return tuple(_ids_of(self.path).read_text().split("\n"))

    def body(self) -> Iterator[bytes]:
        """Yield the body of the create call in blocks; see `chunking.Chunk`."""
        left = self.size - len(TAIL)
        with self.path.open("rb", buffering=0) as file:
            while left and (block := file.read(min(_BUFFER, left))):
                left -= len(block)
                yield block
            forget(file)
        yield TAIL

    def items(self) -> Iterator[bytes]:
        """Yield each request, in order, as it stands in the body."""
        with self.path.open("rb") as file:
            file.seek(len(HEAD))
            for _ in range(self.requests):
                yield file.readline().removesuffix(SEPARATOR).rstrip(b"\n")

    def some(self, positions: list[int], path: Path) -> SpooledChunk:
        """Write the requests at these positions into a chunk of their own."""
        wanted = set(positions)
        part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            chunk = ChunkFile(part, Limits())
            for position, item in enumerate(self.items()):
                if position in wanted:
                    row = orjson.loads(item)
                    params = item[len(item_of(row["custom_id"], b"")) - 1 : -1]
                    chunk.add(item, params, row["custom_id"])
            plan = chunk.close()
            _ids_of(part).replace(_ids_of(path))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
            _ids_of(part).unlink(missing_ok=True)
        return spooled(path, plan)


def spooled(path: Path, plan: ChunkPlan) -> SpooledChunk:
    """Return the chunk that a plan tells of."""
    return SpooledChunk(path, plan.requests, plan.size, plan.digest, plan.ids_digest)


def _ids_of(chunk: Path) -> Path:
    return chunk.with_name(f"{chunk.name.removesuffix('.json')}.ids")
