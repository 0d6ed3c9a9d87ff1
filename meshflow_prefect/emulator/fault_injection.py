"""Carries out the fault plan: stands between the call log and the API."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshflow_prefect.emulator.answers import (
    AnswerEndedError,
    OtherResultsUrl,
    PartOfAnswer,
    discard,
)
from meshflow_prefect.emulator.calls import CLIENT_GONE
from meshflow_prefect.emulator.connections import BreakOffError
from meshflow_prefect.emulator.faults import CallFault, ErrorAnswer, FaultPlan
from meshflow_prefect.emulator.kept_body import kept_body
from meshflow_prefect.emulator.operations import call_of, is_api_call
from meshflow_prefect.emulator.waiting import ClientGoneError, Waiting, read_to_end
from meshflow_prefect.emulator.wire import error_body, json_response


class FaultInjection:
    """Asks the plan about each call of the API, and does to it what the plan says."""

    def __init__(
        self, app: ASGIApp, *, plan: FaultPlan, waiting: Waiting, now: Callable[[], float]
    ) -> None:
        self._app = app
        self._plan = plan
        self._waiting = waiting
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or not."""
        fault = None
        if self._plan and is_api_call(scope):
            fault = self._plan.fault_for(call_of(scope), self._now())
        if fault is None:
            await self._app(scope, receive, send)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._look_at(fault, scope, receive, noting)
        except AnswerEndedError:
            return
        except ClientGoneError:
            pass
        if not begun:  # the client left while its call waited: this is for the call log
            await Response(status_code=CLIENT_GONE)(scope, receive, send)

    async def _look_at(self, fault: CallFault, scope: Scope, receive: Receive, send: Send) -> None:
        action = fault.action
        if not action.delay and action.hold != "before":
            await self._carry_out(fault, scope, receive, send)
            return
        with kept_body(receive) as kept:
            await kept.fill()
            if action.delay:
                await self._waiting.for_seconds(action.delay, receive)
            if action.hold == "before":
                await self._hold(fault, receive)
            await self._carry_out(fault, scope, kept, send)

    async def _carry_out(
        self, fault: CallFault, scope: Scope, receive: Receive, send: Send
    ) -> None:
        action = fault.action
        if not action.replaces_answer:
            await self._app(scope, receive, self._changing(fault, receive, send))
            return
        if action.accept:
            await self._app(scope, receive, discard)
        else:
            await read_to_end(receive)
        if action.hold == "after":
            await self._hold(fault, receive)
        if action.answer is None:
            raise BreakOffError
        await _error(action.answer, scope["state"]["request_id"])(scope, receive, send)

    def _changing(self, fault: CallFault, receive: Receive, send: Send) -> Send:
        """Return a `send` that does to the true answer what the fault says."""
        action = fault.action
        if action.hold == "after":
            send = self._held_back(fault, receive, send)
        if action.cut_after is not None:
            send = PartOfAnswer(send, length=action.cut_after, clean=False)
        elif action.truncate_after is not None:
            send = PartOfAnswer(send, length=action.truncate_after, clean=True)
        elif action.results_url is not None:
            send = OtherResultsUrl(send, action.results_url)
        return send

    def _held_back(self, fault: CallFault, receive: Receive, send: Send) -> Send:
        async def when_released(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._hold(fault, receive)
            await send(message)

        return when_released

    async def _hold(self, fault: CallFault, receive: Receive) -> None:
        fault.held += 1
        try:
            await self._waiting.until_released(receive)
        finally:
            fault.held -= 1


def _error(answer: ErrorAnswer, request_id: str) -> Response:
    body = error_body(answer.error, answer.message, request_id)
    if answer.details is not None:
        body["error"]["details"] = answer.details
    return json_response(body, status=answer.status, headers=dict(answer.headers))
