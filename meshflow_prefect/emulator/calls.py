"""What has been asked of the emulator, and the header that every answer carries.

This is the one place that every call of the API passes on its way in and out. Faults that a test
plans (lost answers, cut streams, errors) come next, so that the log has what the client saw.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshflow_prefect.emulator.clock import rfc3339
from meshflow_prefect.emulator.connections import (
    AbandonedError,
    BreakOffError,
    break_connection,
)
from meshflow_prefect.emulator.operations import is_api_call, split_path
from meshflow_prefect.emulator.wire import ApiError, fingerprint, new_id, presented_key

NO_ANSWER = 0
"""The status in the log of a call whose connection was closed, as planned, without an answer."""

CLIENT_GONE = 499
"""The status in the log of a call whose client left before it was answered."""

_KEPT = 10_000
_MINUTE = 60.0


class CallLog:
    """The last calls of the API, and how many there were by endpoint."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._last: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._moments: deque[float] = deque()

    def add(self, call: dict[str, Any]) -> None:
        """Remember one call."""
        self._last.append(call)
        self.counts[call["endpoint"]] += 1

    def last(self, most: int) -> list[dict[str, Any]]:
        """Return the last calls, the oldest of them first."""
        return list(self._last)[-most:] if most > 0 else []

    def check_rate(self, now: float, limit: int | None) -> None:
        """Refuse a call that is one too many within a minute."""
        if limit is None:
            return
        while self._moments and self._moments[0] <= now - _MINUTE:
            self._moments.popleft()
        if len(self._moments) >= limit:
            wait = int(self._moments[0] + _MINUTE - now) + 1
            raise ApiError(
                "rate_limit_error",
                f"This request would exceed the rate limit of {limit} requests per minute.",
                retry_after=wait,
            )
        self._moments.append(now)

    def clear(self) -> None:
        """Forget every call."""
        self.counts.clear()
        self._last.clear()
        self._moments.clear()


class CallRecorder:
    """Gives each call of the API its request id, and writes it into the log."""

    def __init__(self, app: ASGIApp, *, log: CallLog, now: Callable[[], float]) -> None:
        self._app = app
        self._log = log
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if not is_api_call(scope):
            await self._app(scope, receive, send)
            return
        request_id = new_id("req_")
        scope.setdefault("state", {})["request_id"] = request_id
        at = rfc3339(self._now())
        status = NO_ANSWER

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["request-id"] = request_id
                status = message["status"]
                self._record(scope, at, request_id, status)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except BreakOffError as reason:
            # In the log before the client can know it; not at all after a reset of the log.
            if status == NO_ANSWER and not isinstance(reason, AbandonedError):
                self._record(scope, at, request_id, NO_ANSWER)
            await break_connection()

    def _record(self, scope: Scope, at: str, request_id: str, status: int) -> None:
        headers = Headers(scope=scope)
        key, _ = presented_key(Request(scope))
        self._log.add(
            {
                "endpoint": f"{scope['method']} {split_path(scope['path'])[0]}",
                "method": scope["method"],
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "status": status,
                "at": at,
                "request_id": request_id,
                "user_agent": headers.get("user-agent"),
                "anthropic_version": headers.get("anthropic-version"),
                "key_fingerprint": None if key is None else fingerprint(key),
            }
        )
