"""Requests → the bytes of one batch, checked against the API's limits before anything is sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from meshflow_prefect.errors import BatchTooLargeError, InvalidRequestError
from meshflow_prefect.models import BatchRequest

MAX_REQUESTS = 100_000
MAX_BYTES = 256 * 1_000_000
"""256 MB, read as the smaller of the two meanings of MB, so that a body is never refused."""

_BLOCK_BYTES = 1 << 20

_TASK_ID = re.compile(r"task-[0-9]+-[0-9a-f]{12}")

_HEAD, _SEPARATOR, _TAIL = b'{"requests":[', b",", b"]}"


@dataclass(frozen=True)
class Chunk:
    """The requests of one batch, serialised once."""

    items: tuple[bytes, ...]
    """Each request as JSON, in the order given."""
    custom_ids: tuple[str, ...]
    digest: str
    """Hex digest of the content: the parameters in their order, without the custom ids, so that
    the same job is recognised when its ids were made anew."""

    size: int
    """Length of the body of the create call, in bytes."""

    def body(self) -> Iterator[bytes]:
        """Yield the body of the create call in blocks, so that it is never held twice.

        The last two bytes come alone: whoever holds them back sends a call that makes no batch.
        """
        block = bytearray(_HEAD)
        for position, item in enumerate(self.items):
            block += (_SEPARATOR if position else b"") + item
            if len(block) >= _BLOCK_BYTES:
                yield bytes(block)
                block.clear()
        yield bytes(block)
        yield _TAIL


def make_chunk(requests: Sequence[BatchRequest]) -> Chunk:
    """Check and serialise the requests of one batch.

    Raises `InvalidRequestError` for an empty list, a wrong item or a custom id that occurs twice,
    and `BatchTooLargeError`, with the numbers, for more than 100,000 requests or 256 MB.
    """
    if not requests:
        raise InvalidRequestError("There is nothing to submit: the list of requests is empty.")
    if len(requests) > MAX_REQUESTS:
        raise BatchTooLargeError(
            f"{len(requests):,} requests: one batch holds at most {MAX_REQUESTS:,}. Split them.",
            requests=len(requests),
        )
    items: list[bytes] = []
    positions: dict[str, int] = {}
    content = hashlib.sha256()
    size = len(_HEAD) + len(_TAIL) - len(_SEPARATOR)
    for position, request in enumerate(requests):
        item, params = _serialise(position, request)
        first = positions.setdefault(request.custom_id, position)
        if first != position:
            raise InvalidRequestError(
                f"custom_id {request.custom_id!r} occurs twice: requests {first} and {position}. "
                "Ids must be unique within a batch.",
                custom_id=request.custom_id,
            )
        items.append(item)
        content.update(len(params).to_bytes(8, "big") + params)
        size += len(item) + len(_SEPARATOR)
    if size > MAX_BYTES:
        raise BatchTooLargeError(
            f"{len(items):,} requests take {size:,} bytes: one batch holds at most "
            f"{MAX_BYTES:,}. Split them.",
            requests=len(items),
            bytes=size,
        )
    return Chunk(tuple(items), tuple(positions), content.hexdigest(), size)


def task_ids(seed: str, count: int) -> list[str]:
    """Return the ids `task-{i}-{hex}` of a job of `count` tasks.

    The hex comes from `seed` alone, so that a replay of the job makes the same ids.
    """
    suffix = hashlib.sha256(seed.encode()).hexdigest()[:12]
    return [f"task-{position}-{suffix}" for position in range(count)]


def are_task_ids(custom_ids: Iterable[str]) -> bool:
    """Whether all of these are ids as `task_ids` makes them, which name their job."""
    return all(_TASK_ID.fullmatch(custom_id) for custom_id in custom_ids)


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
    return b'{"custom_id":"%b","params":%b}' % (request.custom_id.encode(), params), params
