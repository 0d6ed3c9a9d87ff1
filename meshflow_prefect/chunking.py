"""Requests → chunks within the API's limits, checked and serialised before anything is sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from meshflow_prefect.errors import BatchTooLargeError, InvalidRequestError
from meshflow_prefect.models import BatchRequest, is_list

MAX_REQUESTS = 100_000
MAX_BYTES = 256 * 1_000_000
"""256 MB, read as the smaller of the two meanings of MB, so that a body is never refused."""

_BLOCK_BYTES = 1 << 20

_TASK_ID = re.compile(r"task-[0-9]+-[0-9a-f]{12}")

HEAD, SEPARATOR, TAIL = b'{"requests":[\n', b",\n", b"\n]}"
"""What stands around the requests in the body of a create call: one request a line."""

_AROUND = len(HEAD) + len(TAIL) - len(SEPARATOR)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one batch may hold."""

    max_requests: int = MAX_REQUESTS
    max_bytes: int = MAX_BYTES
    """Of the body of the create call."""

    def __post_init__(self) -> None:
        """Refuse limits that the API does not have."""
        for name, most in (("max_requests", MAX_REQUESTS), ("max_bytes", MAX_BYTES)):
            if not 1 <= (value := getattr(self, name)) <= most:
                raise InvalidRequestError(
                    f"{name}_per_batch: must be from 1 to {most:,}, the most that Anthropic "
                    f"takes, got {value!r}."
                )


API_LIMITS = Limits()


class Chunk(Protocol):
    """The requests of one batch, serialised once: in memory, or in a file."""

    @property
    def requests(self) -> int:
        """How many they are."""

    @property
    def custom_ids(self) -> Sequence[str]:
        """Their ids, in their order."""

    @property
    def ids_digest(self) -> str:
        """Hex digest of the ids, whatever their order."""

    @property
    def digest(self) -> str:
        """Hex digest of the content: the parameters in their order.

        Without the custom ids, so that the same job is recognised when its ids were made anew.
        """

    @property
    def size(self) -> int:
        """Length of the body of the create call, in bytes."""

    def body(self) -> Iterator[bytes]:
        """Yield the body of the create call in blocks, so that it is never held twice.

        The last bytes (`TAIL`) come alone: whoever holds them back sends a call that makes no
        batch.
        """


class Filling:
    """What a chunk comes to while requests are put into it, byte for byte."""

    def __init__(self, limits: Limits = API_LIMITS) -> None:
        self._limits = limits
        self._content = content_digest()
        self.requests = 0
        self.size = _AROUND

    def has_room(self, item: bytes) -> bool:
        """Whether one more request fits. Into an empty chunk each does that fits into any."""
        return (
            self.requests < self._limits.max_requests
            and self.size + len(SEPARATOR) + len(item) <= self._limits.max_bytes
        )

    def add(self, item: bytes, params: bytes) -> None:
        """Count one more request, and take its parameters into the digest."""
        self.requests += 1
        self.size += len(SEPARATOR) + len(item)
        self._content.update(len(params).to_bytes(8, "big"))
        self._content.update(params)

    @property
    def digest(self) -> str:
        """Hex digest of the parameters so far."""
        return self._content.hexdigest()


@dataclass(frozen=True)
class HeldChunk:
    """A chunk in memory; see `Chunk`."""

    items: tuple[bytes, ...]
    """Each request as JSON, in the order given."""
    custom_ids: tuple[str, ...]
    ids_digest: str
    digest: str
    size: int

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return len(self.items)

    def renamed(self, custom_ids: Sequence[str]) -> HeldChunk:
        """Return the same requests under other ids, as long as these: without serialising them."""
        items = tuple(
            item_of(new, item[len(item_of(old, b"")) - 1 : -1])
            for new, old, item in zip(custom_ids, self.custom_ids, self.items, strict=True)
        )
        return replace(
            self, items=items, custom_ids=tuple(custom_ids), ids_digest=ids_digest(custom_ids)
        )

    def body(self) -> Iterator[bytes]:
        """Yield the body of the create call in blocks."""
        block = bytearray(HEAD)
        for position, item in enumerate(self.items):
            block += (SEPARATOR if position else b"") + item
            if len(block) >= _BLOCK_BYTES:
                yield bytes(block)
                block.clear()
        yield bytes(block)
        yield TAIL


def make_chunk(requests: Iterable[BatchRequest]) -> HeldChunk:
    """Check and serialise the requests of one batch.

    Raises `InvalidRequestError` for an empty list, a wrong item or a custom id that occurs twice,
    and `BatchTooLargeError`, with the numbers, for more than 100,000 requests or 256 MB.
    """
    if not is_list(requests):
        raise InvalidRequestError(
            f"requests: expected a list of BatchRequest, got {type(requests).__name__}."
        )
    requests = list(requests)
    if len(requests) > MAX_REQUESTS:
        raise BatchTooLargeError(
            f"{len(requests):,} requests: one batch holds at most {MAX_REQUESTS:,}. Split them.",
            requests=len(requests),
        )
    chunks = make_chunks(requests)
    if len(chunks) > 1:
        size = sum(chunk.size for chunk in chunks) - _AROUND * (len(chunks) - 1)
        raise BatchTooLargeError(
            f"{len(requests):,} requests take {size:,} bytes: one batch holds at most "
            f"{MAX_BYTES:,}. Split them.",
            requests=len(requests),
            bytes=size,
        )
    return chunks[0]


def make_chunks(
    requests: Iterable[BatchRequest], *, limits: Limits = API_LIMITS, apart: int = 0
) -> list[HeldChunk]:
    """Check and serialise requests, in as few chunks as their order and the limits allow.

    The first `apart` requests do not share a chunk with the others.

    Raises `InvalidRequestError` for none at all, a wrong item or a custom id that occurs twice, and
    `BatchTooLargeError` for a request that no batch holds.
    """
    chunks: list[HeldChunk] = []
    positions: dict[str, int] = {}
    filling, items, first_id = Filling(limits), list[bytes](), 0

    def close() -> None:
        ids = tuple(positions)[first_id:]
        chunk = HeldChunk(tuple(items), ids, ids_digest(ids), filling.digest, filling.size)
        chunks.append(chunk)

    for position, request in enumerate(requests):
        item, params = _serialise(position, request)
        first = positions.setdefault(request.custom_id, position)
        if first != position:
            raise InvalidRequestError(
                f"custom_id {request.custom_id!r} occurs twice: requests {first} and {position}. "
                "Ids must be unique.",
                custom_id=request.custom_id,
            )
        if items and (position == apart or not filling.has_room(item)):
            # The id of this request is in the table already, and belongs to the next chunk.
            del positions[request.custom_id]
            close()
            positions[request.custom_id] = position
            filling, items, first_id = Filling(limits), [], position
        if not filling.has_room(item):
            raise BatchTooLargeError(
                f"Request {position} ({request.custom_id!r}) takes {len(item):,} bytes: one batch "
                f"holds at most {limits.max_bytes:,}.",
                custom_id=request.custom_id,
                bytes=len(item),
            )
        filling.add(item, params)
        items.append(item)
    if not items:
        raise InvalidRequestError("There is nothing to submit: the list of requests is empty.")
    close()
    return chunks


def item_of(custom_id: str, params: bytes) -> bytes:
    """Return one request as it stands in the body of a create call."""
    return b'{"custom_id":"%b","params":%b}' % (custom_id.encode(), params)


def task_ids(seed: str, count: int) -> list[str]:
    """Return the ids `task-{i}-{hex}` of a job of `count` tasks.

    The hex comes from `seed` alone, so that a replay of the job makes the same ids.
    """
    suffix = id_suffix(seed)
    return [f"task-{position}-{suffix}" for position in range(count)]


def id_suffix(seed: str) -> str:
    """Return the hex that ends the ids of a job."""
    return hashlib.sha256(seed.encode()).hexdigest()[:12]


def are_task_ids(custom_ids: Iterable[str]) -> bool:
    """Whether all of these are ids as `task_ids` makes them, which name their job."""
    return all(_TASK_ID.fullmatch(custom_id) for custom_id in custom_ids)


def content_digest(content: bytes = b"") -> hashlib.blake2b:
    """Begin a digest of the content of a job, with as many hex digits as SHA-256 has.

    All of it passes through here, and where the processor has no instruction for SHA-256 that takes
    twice as long.
    """
    return hashlib.blake2b(content, digest_size=32)


def ids_digest(custom_ids: Iterable[str]) -> str:
    """Return a digest of custom ids, whatever their order: results come in any."""
    return hashlib.sha256("\n".join(sorted(custom_ids)).encode()).hexdigest()


def _serialise(position: int, request: BatchRequest) -> tuple[bytes, bytes]:
    """Return the request and its parameters as JSON."""
    if not isinstance(request, BatchRequest):
        raise InvalidRequestError(
            f"Request {position}: expected a BatchRequest, got {type(request).__name__}."
        )
    try:
        params = orjson.dumps(request.to_api_request()["params"])
    except TypeError as error:
        raise InvalidRequestError(
            f"Request {position} ({request.custom_id!r}) cannot be written as JSON: {error}.",
            custom_id=request.custom_id,
        ) from None
    return item_of(request.custom_id, params), params
