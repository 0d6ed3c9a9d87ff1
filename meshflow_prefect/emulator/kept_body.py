"""A request body that is read to its end before the call is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile

from starlette.types import Message, Receive

from meshflow_prefect.emulator.waiting import ClientGoneError

_KEPT_IN_MEMORY = 1024 * 1024
_PIECE = 64 * 1024


class KeptBody:
    """Takes the place of `receive`: the kept body first, and then whatever comes after it.

    A server notices that a client has left only while it reads, and stops reading while no one
    takes what it has read. So a call that waits is taken in whole; a large one goes to the disk.
    """

    def __init__(self, file: SpooledTemporaryFile[bytes], receive: Receive) -> None:
        self._file = file
        self._receive = receive
        self._left = 0
        self._replayed = False

    async def fill(self) -> None:
        """Read the body to its end."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            self._left += self._file.write(message.get("body", b""))
            more = message.get("more_body", False)
        self._file.seek(0)

    async def __call__(self) -> Message:
        """Return the next message of the call."""
        if self._replayed:
            return await self._receive()
        piece = self._file.read(_PIECE)
        self._left -= len(piece)
        self._replayed = self._left == 0
        return {"type": "http.request", "body": piece, "more_body": not self._replayed}


@contextmanager
def kept_body(receive: Receive) -> Iterator[KeptBody]:
    """Yield a place for a body, which is removed in the end."""
    with SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY) as file:
        yield KeptBody(file, receive)
