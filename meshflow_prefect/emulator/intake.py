"""A create body as it arrives: checked, and written to disk item by item."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import orjson

from meshflow_prefect.emulator.batch_outcomes import BatchOutcomes
from meshflow_prefect.emulator.replies import reply_to
from meshflow_prefect.emulator.scanner import BodyScanner, ScanError
from meshflow_prefect.emulator.store import INDEX, REQUESTS, Row
from meshflow_prefect.emulator.tokens import CachedTokens, CacheSession
from meshflow_prefect.emulator.validation import Problem, Rules, problem_of
from meshflow_prefect.emulator.wire import ApiError

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_LONGEST_ID = 64
_CACHE_MARK = b'"cache_control"'
_SCHEMA_MARKS = (b'"json_schema"', b'"input_schema"')
_NOT_CACHED = CachedTokens()
_ROWS_AT_ONCE = 5_000


class Intake:
    """The requests of one create call.

    What is wrong with the body is remembered, not raised at once: the rest of the body is still
    read, because a client that is cut off while it sends sees a broken connection instead of the
    error, and because bytes that are not JSON are reported before anything else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rules: Rules,
        cache: CacheSession,
        outcomes: BatchOutcomes | None,
        maximum_requests: int,
        maximum_bytes: int,
    ) -> None:
        self.size = 0
        self.errored_ranks: list[int] = []
        self._folder = folder
        self._rules = rules
        self._cache = cache
        self._outcomes = outcomes
        self._maximum_requests = maximum_requests
        self._maximum_bytes = maximum_bytes
        self._scanner = BodyScanner()
        self._problem: ApiError | None = None
        self._ids: set[str] = set()
        self._ids_digest = hashlib.blake2b(digest_size=8)
        self._lengths = array("I")
        self._cached: dict[int, CachedTokens] = {}
        self._errored: set[int] = set()

    async def receive(self, body: AsyncIterator[bytes]) -> None:
        """Read the whole body; raise what is wrong with it."""
        received = 0
        with (self._folder / REQUESTS).open("wb", buffering=1 << 20) as requests:
            async for piece in body:
                received += len(piece)
                if received > self._maximum_bytes:
                    self._problem = ApiError(
                        "request_too_large", "Request exceeds the maximum size"
                    )
                elif not self._is_hopeless():
                    try:
                        for item in self._scanner.feed(piece):
                            line = self._take(item)
                            if self._problem is None:
                                requests.write(line)
                    except (ScanError, orjson.JSONDecodeError) as problem:
                        self._problem = _not_json(problem)
        if not self._is_hopeless():
            try:
                self._scanner.close()
            except ScanError as problem:
                self._problem = _not_json(problem)
        self._finish()

    async def write_index(self) -> None:
        """Put the rows in the order in which they will finish, which is never that of the input.

        The order depends on the custom ids only, so that the same requests finish in the same
        order every time.
        """
        offsets = array("Q", [0])
        for length in self._lengths:
            offsets.append(offsets[-1] + length)
        order = list(range(self.size))
        random.Random(self._ids_digest.digest()).shuffle(order)  # noqa: S311
        if self.size > 1 and order == list(range(self.size)):
            order.reverse()
        with (self._folder / INDEX).open("wb") as index:
            for rank, place in enumerate(order):
                cached = self._cached.get(place, _NOT_CACHED)
                index.write(Row(place, offsets[place], self._lengths[place], cached).packed())
                if place in self._errored:
                    self.errored_ranks.append(rank)
                if self._outcomes is not None:
                    self._outcomes.place_at(rank, place)
                if rank % _ROWS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _is_hopeless(self) -> bool:
        """Whether nothing in the rest of the body can change the answer."""
        return self._problem is not None and (
            self._problem.kind == "request_too_large"
            or self._problem.message.startswith("The request body is not valid JSON")
        )

    def _take(self, item: bytes) -> bytes:
        """Check one item, and count it; the line to keep."""
        request = orjson.loads(item)
        if self._problem is not None:
            return b""
        place = self.size
        self.size += 1
        try:
            custom_id, params = self._checked(request, place)
        except ApiError as problem:
            self._problem = problem
            return b""
        self._ids.add(custom_id)
        self._ids_digest.update(custom_id.encode())
        valid = problem_of(params, self._rules) is None and not _cannot_be_written(item, params)
        if self._outcomes is not None and self._outcomes.decide(custom_id, is_valid=valid):
            pass  # no model ever sees it
        elif not valid:
            self._errored.add(place)
        elif _CACHE_MARK in item:
            self._cached[place] = self._cache.look_up(params)
        line = orjson.dumps(request) if b"\n" in item else item
        line += b"\n"
        self._lengths.append(len(line))
        return line

    def _checked(self, request: Any, place: int) -> tuple[str, dict[str, Any]]:
        at = f"requests.{place}"
        if place >= self._maximum_requests:
            _refuse(
                f"requests: List should have at most {self._maximum_requests} items after "
                "validation"
            )
        if not isinstance(request, dict):
            _refuse(f"{at}: Input should be a valid dictionary")
        for name in ("custom_id", "params"):
            if name not in request:
                _refuse(f"{at}.{name}: Field required")
        custom_id, params = request["custom_id"], request["params"]
        if not isinstance(custom_id, str):
            _refuse(f"{at}.custom_id: Input should be a valid string")
        if len(custom_id) > _LONGEST_ID:
            _refuse(f"{at}.custom_id: String should have at most {_LONGEST_ID} characters")
        if not _CUSTOM_ID.fullmatch(custom_id):
            _refuse(
                f"{at}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,{_LONGEST_ID}}}$'"
            )
        if not isinstance(params, dict):
            _refuse(f"{at}.params: Input should be a valid dictionary")
        for name in request:
            if name not in ("custom_id", "params"):
                _refuse(f"{at}.{name}: Extra inputs are not permitted")
        if custom_id in self._ids:
            _refuse(
                "requests: custom_id's must be unique within a batch. "
                f"Duplicate custom_id found: {custom_id}"
            )
        return custom_id, params

    def _finish(self) -> None:
        """Raise what was found on the way, or what only the whole body shows."""
        self._ids.clear()
        if self._problem is not None:
            raise self._problem
        if self._scanner.not_an_object is not None:
            _refuse("Input should be a valid dictionary")
        if "requests" not in self._scanner.keys:
            _refuse("requests: Field required")
        if self._scanner.requests_value is not None:
            _refuse("requests: Input should be a valid list")
        for name in self._scanner.keys:
            if name != "requests":
                _refuse(f"{name}: Extra inputs are not permitted")
        if not self.size:
            _refuse("requests: List should have at least 1 item after validation, not 0")


def _cannot_be_written(item: bytes, params: dict[str, Any]) -> bool:
    """Whether the reply fails on a schema; the counts of the batch have to know it."""
    if not any(mark in item for mark in _SCHEMA_MARKS):
        return False
    reply = reply_to(params, unique="", cached=_NOT_CACHED, service_tier="batch", words_wanted=None)
    return isinstance(reply, Problem)


def _refuse(message: str) -> NoReturn:
    raise ApiError("invalid_request_error", message)


def _not_json(problem: Exception) -> ApiError:
    return ApiError("invalid_request_error", f"The request body is not valid JSON: {problem}")
