"""Connections that the application can break, which ASGI itself has no message for.

uvicorn answers 500 for an application that ends without an answer, and logs a traceback for one
that ends in the middle of it. So the connection is closed below uvicorn, by the asyncio protocol
that it lets one choose, and uvicorn sees what it sees when a client leaves.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    _HttpProtocol = asyncio.Protocol
else:
    # httptools where it is installed, otherwise h11.
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as _HttpProtocol


class BreakOffError(Exception):
    """The connection of this call is to be broken."""


class AbandonedError(BreakOffError):
    """The emulator has become another one, or ends, while this call waited."""


class _Connection:
    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.lost = asyncio.Event()


_CURRENT: ContextVar[_Connection] = ContextVar("connection of the call")


class BreakableHttpProtocol(_HttpProtocol):
    """uvicorn's protocol; the calls that come in over a connection know which one it is."""

    _connection: _Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._connection = _Connection(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Start the tasks of calls in a context that knows the connection."""
        _CURRENT.set(self._connection)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that the connection is gone, when uvicorn knows it."""
        super().connection_lost(exc)
        self._connection.lost.set()


async def break_connection() -> None:
    """Close the connection of the present call once what has been written of it is sent.

    Not at once: an abort would lose bytes of an answer that is to be cut after exactly those.
    """
    connection = _CURRENT.get()
    connection.transport.close()
    await connection.lost.wait()
