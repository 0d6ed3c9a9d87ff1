"""An emulator that listens: in a thread of this process, or in the foreground for a command."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import uvicorn

from meshflow_prefect.emulator.app import build_app
from meshflow_prefect.emulator.client import EmulatorClient
from meshflow_prefect.emulator.connections import BreakableHttpProtocol
from meshflow_prefect.emulator.emulation import Emulation
from meshflow_prefect.emulator.settings import DEFAULT_KEY, EmulatorSettings
from meshflow_prefect.emulator.store import Store

_SECONDS_TO_START = 30.0
_SECONDS_TO_STOP = 30.0


class Emulator(EmulatorClient):
    """A Message Batches API on loopback, in a thread of this process.

    ```python
    with Emulator(batch_seconds=60, clock="stepped") as emulator:
        client = anthropic.Anthropic(base_url=emulator.base_url, api_key=emulator.api_key)
        ...
        emulator.advance(60)
    ```

    The keywords are those of `EmulatorSettings`. What can be asked of it is what an
    `EmulatorClient` asks of an emulator in another process: it goes over HTTP here too.
    """

    def __init__(self, settings: EmulatorSettings | None = None, **keywords: Any) -> None:
        settings = settings or EmulatorSettings()
        self.settings = dataclasses.replace(settings, **keywords)
        key = self.settings.api_keys[0] if self.settings.api_keys else DEFAULT_KEY
        super().__init__("", api_key=key)
        self._resources = contextlib.ExitStack()

    def start(self) -> Self:
        """Listen, and return when the first call can be answered."""
        with contextlib.ExitStack() as resources:
            store = resources.enter_context(_store(self.settings))
            listener = resources.enter_context(_listener(self.settings))
            server = _Server(Emulation(self.settings, store))
            thread = threading.Thread(
                target=server.run, args=([listener],), name="anthropic-emulator", daemon=True
            )
            thread.start()
            resources.callback(_stop, server, thread)
            if not server.ready.wait(_SECONDS_TO_START):
                raise RuntimeError("the emulator did not start: see the log of uvicorn")
            self.base_url = _url(listener)
            self._resources = resources.pop_all()
        return self

    def stop(self) -> None:
        """Stop listening; a temporary directory is removed."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def serve(settings: EmulatorSettings) -> None:
    """Run an emulator in the foreground until SIGINT or SIGTERM, and say how to reach it."""
    with _store(settings) as store, _listener(settings) as listener, _signals_taken():
        server = _Server(Emulation(settings, store))
        key = settings.api_keys[0] if settings.api_keys else DEFAULT_KEY
        client = EmulatorClient(_url(listener), api_key=key)
        _say(f"The emulator of the Message Batches API listens on {client.base_url}")
        _say("Point any client at it with:")
        for name, value in client.environment().items():
            _say(f"  export {name}={value}")
        _say(f"Look at it: {client.base_url}/emulator/state    Stop it: Ctrl-C")
        server.run([listener])
        _say("The emulator has stopped.")


class _Server(uvicorn.Server):
    """A server that says when it is ready, and whose end no call that waits holds up."""

    def __init__(self, emulation: Emulation) -> None:
        super().__init__(_config(emulation))
        self.ready = threading.Event()
        self._emulation = emulation

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._emulation.waiting.abandon()
        await super().shutdown(sockets)


def _config(emulation: Emulation) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(emulation),
        http=BreakableHttpProtocol,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )


def _stop(server: _Server, thread: threading.Thread) -> None:
    server.should_exit = True
    thread.join(_SECONDS_TO_STOP)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _listener(settings: EmulatorSettings) -> Iterator[socket.socket]:
    """Yield a listening socket: from here on, calls wait instead of being refused."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without that, every
    # answer on a kept connection takes 40 ms longer.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(128)
        yield listener


@contextlib.contextmanager
def _store(settings: EmulatorSettings) -> Iterator[Store]:
    if settings.directory is not None:
        settings.directory.mkdir(parents=True, exist_ok=True)
        yield Store(settings.directory)
        return
    with tempfile.TemporaryDirectory(
        prefix="anthropic-emulator-", ignore_cleanup_errors=True
    ) as directory:
        yield Store(Path(directory))


@contextlib.contextmanager
def _signals_taken() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the server and nothing else.

    uvicorn raises the signal again when it has shut down. Without a handler of ours that would
    end the process there and then, and leave the temporary directory behind.
    """

    def taken(_number: int, _frame: FrameType | None) -> None:
        return

    before = {number: signal.signal(number, taken) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    print(line, flush=True)
