"""The control routes of the fault plan: tell it, look at it, clear it, release calls."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshflow_prefect.emulator.emulation import Emulation
from meshflow_prefect.emulator.fault_grammar import read_faults
from meshflow_prefect.emulator.wire import json_response


class FaultControl:
    """What `/emulator/faults…` answers."""

    def __init__(self, emulation: Emulation) -> None:
        self._emulation = emulation

    def routes(self) -> list[Route]:
        """Return the paths of the fault plan."""
        return [
            Route("/emulator/faults", self.plan, methods=["POST"]),
            Route("/emulator/faults", self.faults, methods=["GET"]),
            Route("/emulator/faults", self.clear, methods=["DELETE"]),
            Route("/emulator/faults/release", self.release, methods=["POST"]),
        ]

    async def plan(self, request: Request) -> Response:
        """Append to the plan: `{"faults": [...]}`."""
        body = await request.body()
        self._emulation.faults.add(read_faults(body, now=self._emulation.clock.now()))
        return json_response(self._shown())

    async def faults(self, _: Request) -> Response:
        """Return the plan, with how often each fault has fired and how many calls it holds."""
        return json_response(self._shown())

    async def clear(self, _: Request) -> Response:
        """Clear the plan. Calls that it holds go on."""
        self._emulation.faults.clear()
        self._emulation.waiting.release()
        return json_response(self._shown())

    async def release(self, _: Request) -> Response:
        """Let every held call go on."""
        return json_response({"released": self._emulation.waiting.release()})

    def _shown(self) -> dict[str, Any]:
        return {"faults": self._emulation.faults.shown()}
