"""Where the body of an HTTP answer begins and ends, read as its bytes come by."""

from __future__ import annotations

import re

_LAST_CHUNK = b"0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class AnswerReader:
    """Reads one answer, in pieces."""

    def __init__(self) -> None:
        self._answer = b""

    def passes(self, data: bytes, body_bytes: int | None) -> int | None:
        """Return how many bytes of this piece may pass; None while all of them may.

        May pass: `body_bytes` of the body, or, for None, all that comes before the last bytes:
        the last chunk of a chunked answer, which is empty, and else the last byte.
        """
        before = len(self._answer)
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return None
        start = head + 4
        if body_bytes is None:
            length = _LENGTH.search(self._answer, 0, start)
            if length is not None:
                end = start + int(length[1]) - 1
            elif self._answer.endswith(_LAST_CHUNK):
                end = len(self._answer) - len(_LAST_CHUNK)
            else:
                return None
        else:
            end = start + body_bytes
        return max(end - before, 0) if len(self._answer) > end else None
