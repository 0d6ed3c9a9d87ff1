"""A wire between a client and a server that springs a trap at a chosen byte of a chosen call.

A transparent TCP proxy on loopback. It passes on what it is sent, HTTP or websocket, until a call
comes by that the armed trap looks for.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from tests.support.http_answer import AnswerReader

Moment = Literal["before", "after", "midway", "at_end"]
_REMEMBERED = 64 * 1024
"""How far back in a stream a pattern may begin: a call's head and body come in several reads."""


W = TypeVar("W", bound="Tripwire")


@dataclass
class Trap:
    """What is looked for in what clients send, and what happens there.

    `before`: the bytes that hold the pattern are not passed on. `after`: they are, and the server
    has answered, of which the client is given nothing. `midway`: the client has been given
    `body_bytes` of the answer's body. `at_end`: all of it but its last bytes. Then `spring` is
    called, and only when it has returned is the connection closed, on both sides.
    """

    pattern: re.Pattern[bytes]
    spring: Callable[[], None]
    moment: Moment = "before"
    occurrence: int = 1
    """Which match springs it, counted over all connections."""
    body_bytes: int = 0
    sprung: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def wait(self, limit: float) -> None:
        """Return when it has been sprung; raise what `spring` raised."""
        if not self.sprung.wait(limit):
            raise AssertionError(f"Not within {limit:g} s: {self.moment} {self.pattern.pattern!r}")
        if self.error is not None:
            raise self.error


class Tripwire:
    """A running proxy: `url` leads where `upstream` leads."""

    def __init__(self, upstream: str) -> None:
        self._parts = urlsplit(upstream)
        self.url = ""
        self._trap: Trap | None = None
        self._matches = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def arm(self, trap: Trap) -> Trap:
        """Set this trap, in the place of any earlier one."""
        self._matches = 0
        self._trap = trap
        return trap

    def disarm(self) -> None:
        """Pass on everything from here on."""
        self._trap = None

    def take(self, seen: bytes) -> tuple[Trap | None, bytes]:
        """Look for the pattern; return the trap if this springs it, and what to look at again."""
        trap = self._trap
        if trap is None:
            return None, b""
        while found := trap.pattern.search(seen):
            self._matches += 1
            seen = seen[found.end() :]
            if self._matches == trap.occurrence:
                self._trap = None
                return trap, b""
        return None, seen[-_REMEMBERED:]

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Listen until told to stop."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self._parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        ready.set()
        await stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # A task of asyncio's own streams that ends as cancelled is reported as an error.
        with suppress(asyncio.CancelledError, OSError):
            await self._pass_on(reader, writer)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._parts.hostname is not None
        there = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        try:
            await _Connection(self, (reader, writer), there).run()
        finally:
            there[1].transport.abort()


class _Connection:
    """One connection of a client, and the one to the server that it is passed on to."""

    def __init__(
        self,
        wire: Tripwire,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._wire = wire
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._seen = b""
        self._watching: Trap | None = None
        """The trap whose call has been passed on, and whose moment is in the answer."""

    async def run(self) -> None:
        """Pass bytes on both ways until both sides have ended, or a trap is sprung."""
        ways = [asyncio.ensure_future(self._up()), asyncio.ensure_future(self._down())]
        try:
            pending = set(ways)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if any(way.exception() or not way.result() for way in done):
                    return
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self) -> bool:
        """Pass on what the client sends; False when the connection is to be closed."""
        while data := await self._from_client.read(_REMEMBERED):
            trap, self._seen = self._wire.take(self._seen + data)
            if trap is not None and trap.moment == "before":
                return await _spring(trap)
            self._watching = trap or self._watching
            self._to_server.write(data)
            await self._to_server.drain()
        self._to_server.write_eof()
        return True

    async def _down(self) -> bool:
        """Pass on what the server answers; False when the connection is to be closed."""
        answer = AnswerReader()
        while data := await self._from_server.read(_REMEMBERED):
            trap = self._watching
            if trap is None:
                await self._give(data)
            elif trap.moment == "after":
                return await _spring(trap)
            else:
                passed = answer.passes(data, trap.body_bytes if trap.moment == "midway" else None)
                await self._give(data if passed is None else data[:passed])
                if passed is not None:
                    return await _spring(trap)
        self._to_client.write_eof()
        return True

    async def _give(self, data: bytes) -> None:
        self._to_client.write(data)
        await self._to_client.drain()


async def _spring(trap: Trap) -> bool:
    def spring() -> None:
        try:
            trap.spring()
        except Exception as error:  # noqa: BLE001  (the thread that waits for it raises it)
            trap.error = error
        # Here, since a client that is killed ends its connection, and with it what awaits this.
        trap.sprung.set()

    await asyncio.to_thread(spring)
    return False


@contextmanager
def tripwire(upstream: str) -> Iterator[Tripwire]:
    """Run a proxy in a thread while the block runs."""
    with running_wire(Tripwire(upstream)) as wire:
        yield wire


@contextmanager
def running_wire(wire: W) -> Iterator[W]:
    """Run this proxy in a thread while the block runs."""
    ready = threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(wire.serve(ready, stop))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=run, name="tripwire", daemon=True)
    thread.start()
    try:
        assert ready.wait(30), "the tripwire listens"
        yield wire
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
