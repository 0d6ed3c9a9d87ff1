"""The emulator's own paths, outside the API: look at it, move its time, end its batches."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshflow_prefect.emulator.batches import Batch
from meshflow_prefect.emulator.clock import rfc3339
from meshflow_prefect.emulator.emulation import Emulation
from meshflow_prefect.emulator.wire import ApiError, json_response

_CALLS_SHOWN = 100


class Control:
    """What `/emulator/…` answers."""

    def __init__(self, emulation: Emulation) -> None:
        self._emulation = emulation

    def routes(self) -> list[Route]:
        """Return the paths of the control routes."""
        return [
            Route("/emulator/state", self.state, methods=["GET"]),
            Route("/emulator/batches", self.batches, methods=["GET"]),
            Route("/emulator/batches/{id}/end", self.end, methods=["POST"]),
            Route("/emulator/calls", self.calls, methods=["GET"]),
            Route("/emulator/spend", self.spend, methods=["GET"]),
            Route("/emulator/clock", self.clock, methods=["POST"]),
            Route("/emulator/reset", self.reset, methods=["POST"]),
        ]

    async def state(self, _: Request) -> Response:
        """Return the clock, the calls by endpoint and the number of batches."""
        return json_response(self._state())

    async def batches(self, _: Request) -> Response:
        """Every batch of every workspace, the newest first."""
        return json_response(
            {"batches": [self._shown(batch) for batch in self._emulation.newest_first()]}
        )

    async def end(self, request: Request) -> Response:
        """End a batch now."""
        batch = self._emulation.find(request.path_params["id"])
        self._emulation.end(batch)
        return json_response(self._shown(batch))

    async def calls(self, request: Request) -> Response:
        """Return the last calls of the API, the oldest of them first."""
        text = request.query_params.get("last", str(_CALLS_SHOWN))
        if not text.isdecimal():
            raise ApiError("invalid_request_error", "last: Input should be a whole number")
        return json_response({"calls": self._emulation.calls.last(int(text))})

    async def spend(self, _: Request) -> Response:
        """Return the usage that ended batches bill, by model."""
        return json_response({"models": (await self._emulation.spend()).by_model})

    async def clock(self, request: Request) -> Response:
        """Move time forward: `{"advance": seconds}`."""
        try:
            asked = orjson.loads(await request.body())
            seconds = asked["advance"]
            if len(asked) > 1 or type(seconds) not in (int, float):
                raise ValueError(f"got {asked!r}")  # noqa: TRY301
            self._emulation.advance(seconds)
        except (KeyError, TypeError, ValueError) as problem:
            raise ApiError(
                "invalid_request_error",
                f'the body must be {{"advance": seconds}}, with seconds of 0 or more: {problem}',
            ) from None
        return json_response(self._state())

    async def reset(self, _: Request) -> Response:
        """Become as new."""
        self._emulation.reset()
        return json_response(self._state())

    def _state(self) -> dict[str, Any]:
        settings = self._emulation.settings
        batches = self._emulation.newest_first()
        now = self._emulation.clock.now()
        return {
            "clock": {
                "kind": settings.clock,
                "speed": self._emulation.clock.anchor.speed,
                "now": rfc3339(now),
            },
            "batches": len(batches),
            "batches_in_progress": sum(batch.status(now) != "ended" for batch in batches),
            "calls": dict(self._emulation.calls.counts),
            "settings": {
                "batch_seconds": settings.batch_seconds,
                "cancel_seconds": settings.cancel_seconds,
                "counts": settings.counts,
                "retry_after": settings.retry_after,
            },
        }

    def _shown(self, batch: Batch) -> dict[str, Any]:
        now = self._emulation.clock.now()
        return {
            "id": batch.id,
            "workspace": batch.workspace,
            "status": batch.status(now),
            "requests": batch.size,
            "request_counts": batch.counts(now, moving=True),
            "created_at": rfc3339(batch.created_at),
            "ends_at": rfc3339(batch.ends_at),
        }
