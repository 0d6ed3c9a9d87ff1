"""The web application: the API, the control routes, and errors in the words of the API."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from meshflow_prefect.emulator.calls import CLIENT_GONE, CallRecorder
from meshflow_prefect.emulator.control import Control
from meshflow_prefect.emulator.emulation import Emulation
from meshflow_prefect.emulator.fault_control import FaultControl
from meshflow_prefect.emulator.fault_injection import FaultInjection
from meshflow_prefect.emulator.routes import Api
from meshflow_prefect.emulator.wire import ApiError, error_body, json_response, new_id


def build_app(emulation: Emulation) -> Starlette:
    """Return the application that serves one emulation."""

    def now() -> float:
        return emulation.clock.now()  # looked up at each call: a reset replaces the clock

    return Starlette(
        routes=[
            *Api(emulation).routes(),
            *Control(emulation).routes(),
            *FaultControl(emulation).routes(),
        ],
        middleware=[
            Middleware(CallRecorder, log=emulation.calls, now=now),
            Middleware(FaultInjection, plan=emulation.faults, waiting=emulation.waiting, now=now),
        ],
        exception_handlers={
            ApiError: _refused,
            ClientDisconnect: _gone,
            HTTPException: _no_such_route,
            Exception: _broken,
        },
    )


def _request_id(request: Request) -> str:
    found = getattr(request.state, "request_id", None)
    return found if isinstance(found, str) else new_id("req_")


async def _refused(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, ApiError):
        raise problem
    return problem.response(_request_id(request))


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)  # never sent: it is for the call log


async def _no_such_route(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 404
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    message = "Not found" if status == 404 else "Method Not Allowed"
    return json_response(error_body(kind, message, _request_id(request)), status=status)


async def _broken(request: Request, _: Exception) -> Response:
    # Starlette raises the exception again after this answer, so that uvicorn logs its traceback.
    return json_response(
        error_body("api_error", "Internal server error", _request_id(request)), status=500
    )
