"""Calls that are made to wait: for a while, or until they are released."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from meshflow_prefect.emulator.connections import AbandonedError


class ClientGoneError(Exception):
    """The client has closed the connection before it had an answer."""


class Waiting:
    """Every call that waits. It ends with its client, and never outlives the server."""

    def __init__(self) -> None:
        self._held: set[asyncio.Future[bool]] = set()
        self._delayed: set[asyncio.Future[bool]] = set()

    async def until_released(self, receive: Receive) -> None:
        """Hold a call whose body has been read."""
        await _wait(self._held, receive, None)

    async def for_seconds(self, seconds: float, receive: Receive) -> None:
        """Delay a call whose body has been read."""
        await _wait(self._delayed, receive, seconds)

    def release(self) -> int:
        """Let every held call go on; how many there were."""
        return _settle(self._held, go_on=True)

    def abandon(self) -> None:
        """Break the connections of all calls that wait."""
        _settle(self._held, go_on=False)
        _settle(self._delayed, go_on=False)


async def read_to_end(receive: Receive) -> None:
    """Read the rest of a request, so that its sender is ready to see an answer."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        more = message.get("more_body", False)


def _settle(waiting: set[asyncio.Future[bool]], *, go_on: bool) -> int:
    pending = [each for each in waiting if not each.done()]
    for each in pending:
        each.set_result(go_on)
    return len(pending)


async def _wait(
    waiting: set[asyncio.Future[bool]], receive: Receive, seconds: float | None
) -> None:
    told = asyncio.get_running_loop().create_future()
    gone = asyncio.create_task(_gone(receive))
    waiting.add(told)
    try:
        await asyncio.wait({told, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.discard(told)
        gone.cancel()
    if told.done() and not told.result():
        raise AbandonedError
    if gone.done():
        raise ClientGoneError


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
