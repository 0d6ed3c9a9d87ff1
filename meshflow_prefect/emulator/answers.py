"""What becomes of a true answer on its way out: a part of it, or one with another address."""

from __future__ import annotations

import orjson
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

from meshflow_prefect.emulator.connections import BreakOffError


class AnswerEndedError(Exception):
    """The answer has been sent as far as it is to be: the application can stop."""


class PartOfAnswer:
    """Sends the first bytes of a body, and then breaks off or ends as if that were all."""

    def __init__(self, send: Send, *, length: int, clean: bool) -> None:
        self._send = send
        self._left = length
        self._clean = clean

    async def __call__(self, message: Message) -> None:
        """Pass one message on, as far as it goes."""
        if message["type"] == "http.response.start":
            # Without a length the body is sent in chunks, and their end says that it is whole:
            # a broken answer is an error even where every byte of it has arrived.
            del MutableHeaders(scope=message)["content-length"]
            await self._send(message)
            if not self._left:
                await self._end(b"")
            return
        piece = message.get("body", b"")
        if len(piece) >= self._left or not message.get("more_body", False):
            await self._end(piece[: self._left])
        self._left -= len(piece)
        await self._send(message)

    async def _end(self, piece: bytes) -> None:
        more = not self._clean
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})
        raise AnswerEndedError if self._clean else BreakOffError


class OtherResultsUrl:
    """Gathers an answer in JSON and sends it with another `results_url` in its batches."""

    def __init__(self, send: Send, url: str) -> None:
        self._send = send
        self._url = url
        self._start: Message = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Take one message; the answer goes out when its last one is there."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = self._rewritten()
        MutableHeaders(scope=self._start)["content-length"] = str(len(body))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _rewritten(self) -> bytes:
        if not self._body:
            return b""
        answer = orjson.loads(self._body)
        for batch in answer.get("data", [answer]):
            if batch.get("type") == "message_batch":
                batch["results_url"] = self._url
        return orjson.dumps(answer)


async def discard(_: Message) -> None:
    """Take the answer of a call whose answer is to be lost."""
