"""From the bytes of a create body to its items, without ever holding the body.

The body is `{"requests": [{...}, {...}, ...]}`. The scanner is fed pieces of any size and yields
the bytes of each item as soon as it is complete. It only finds where values end (strings and
brackets); whether an item is valid JSON is for the caller's parser to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

import orjson

# A complete string is skipped in one step. A quote that opens a string which is not complete yet
# is matched alone, and scanning goes on inside the string with the next piece, so that a value of
# many megabytes is read once, not once for every piece. Possessive: nothing here backtracks.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_NESTED = re.compile(_STRING + rb'|["{}\[\]]', re.DOTALL)
_SHALLOW = re.compile(_STRING + rb'|["{}\[\],]', re.DOTALL)
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_KEY = re.compile(_STRING, re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")

_OPENING = (ord("{"), ord("["))
_CLOSING = (ord("}"), ord("]"))
_QUOTE = ord('"')


class ScanError(ValueError):
    """The body is not valid JSON."""


class _Expect(Enum):
    OBJECT = auto()
    FIRST_KEY = auto()
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    COMMA = auto()
    FIRST_ITEM = auto()
    ITEM = auto()
    END = auto()


class BodyScanner:
    """An incremental reader of one create body.

    `feed` yields the items of the list `requests`. After `close`, `keys` are the keys of the
    body, and `requests_value` is the value of `requests` where that was not a list.
    """

    def __init__(self) -> None:
        """Expect the first byte of a body."""
        self.keys: list[str] = []
        self.requests_value: bytes | None = None
        self.not_an_object: bytes | None = None
        self._buffer = bytearray()
        self._at = 0  # everything before this has been looked at
        self._start = 0  # where the value being scanned begins
        self._depth = 0
        self._in_string = False
        self._expect = _Expect.OBJECT
        self._scanned = 0  # bytes dropped from the buffer, for error positions

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body; yield the items that they complete."""
        self._buffer += piece
        yield from self._advance(ended=False)
        keep = self._start if self._scanning_value() else self._at
        if keep:
            del self._buffer[:keep]
            self._scanned += keep
            self._at -= keep
            self._start = 0

    def close(self) -> None:
        """Say that the body has ended, and check that it was whole."""
        for _ in self._advance(ended=True):
            raise ScanError("unexpected end of data")  # pragma: no cover - an item needs its end
        if self._expect is not _Expect.END:
            raise ScanError(
                f"unexpected end of data: char {self._scanned + len(self._buffer)}"
                if self._scanned + len(self._buffer)
                else "Input is a zero-length, empty document: line 1 column 1 (char 0)"
            )

    def _scanning_value(self) -> bool:
        return self._expect in (_Expect.VALUE, _Expect.ITEM, _Expect.FIRST_ITEM)

    def _unexpected(self) -> ScanError:
        return ScanError(f"unexpected character: char {self._scanned + self._at}")

    def _advance(self, *, ended: bool) -> Iterator[bytes]:
        while self._expect is not _Expect.END:
            if self._expect in (_Expect.ITEM, _Expect.FIRST_ITEM):
                item = self._value()
                if item is None:
                    return
                closed = self._buffer[self._at] == _CLOSING[1]
                if not item and not (closed and self._expect is _Expect.FIRST_ITEM):
                    raise self._unexpected()
                if not closed and self._buffer[self._at] != ord(","):
                    raise self._unexpected()
                self._at += 1
                self._start = self._at
                self._expect = _Expect.COMMA if closed else _Expect.ITEM
                if item:
                    yield item
            elif not self._outside(ended=ended):
                return
        self._skip_space()
        if self._at < len(self._buffer):
            raise ScanError(f"unexpected content after document: char {self._scanned + self._at}")

    def _outside(self, *, ended: bool) -> bool:
        """Take one step outside the list of requests; False when more bytes are needed."""
        if self._expect is _Expect.VALUE:
            return self._top_level_value()
        self._skip_space()
        if self._at >= len(self._buffer):
            return False
        char = self._buffer[self._at]
        if self._expect is _Expect.OBJECT:
            if char != _OPENING[0]:
                return self._whole_body(ended=ended)
            self._expect = _Expect.FIRST_KEY
        elif self._expect in (_Expect.KEY, _Expect.FIRST_KEY):
            if char == _CLOSING[0] and self._expect is _Expect.FIRST_KEY:
                self._expect = _Expect.END
            elif char != _QUOTE:
                raise self._unexpected()
            else:
                return self._key()
        elif self._expect is _Expect.COLON:
            if char != ord(":"):
                raise self._unexpected()
            self._expect = _Expect.VALUE
            self._start = self._at + 1
        elif char == ord(","):
            self._expect = _Expect.KEY
        elif char == _CLOSING[0]:
            self._expect = _Expect.END
        else:
            raise self._unexpected()
        self._at += 1
        return True

    def _key(self) -> bool:
        match = _KEY.match(self._buffer, self._at)
        if match is None:
            return False
        text, self._at = match.group(), match.end()
        self.keys.append(_parsed_key(text))
        self._expect = _Expect.COLON
        return True

    def _top_level_value(self) -> bool:
        at_start = self._depth == 0 and not self._in_string and self._at == self._start
        if at_start:
            self._skip_space()
            self._start = self._at
            if self._at >= len(self._buffer):
                return False
            if self.keys[-1] == "requests" and self._buffer[self._at] == _OPENING[1]:
                if self.keys.count("requests") > 1:
                    raise ScanError("duplicate key: requests")
                self._at += 1
                self._start = self._at
                self._expect = _Expect.FIRST_ITEM
                return True
        value = self._value()
        if value is None:
            return False
        if not value:
            raise self._unexpected()
        if self.keys[-1] == "requests":
            self.requests_value = value
        _check(value)
        self._start = self._at
        self._expect = _Expect.COMMA
        return True

    def _whole_body(self, *, ended: bool) -> bool:
        """Keep a body that is not an object, as it is small or wrong, until its end."""
        if ended:
            self.not_an_object = bytes(self._buffer[self._at :])
            _check(self.not_an_object)
            self._at = len(self._buffer)
            self._expect = _Expect.END
        return ended

    def _value(self) -> bytes | None:
        """Return the value that begins at `_start`, up to the comma or bracket that ends it."""
        buffer = self._buffer
        while True:
            if self._in_string:
                inside = _IN_STRING.match(buffer, self._at)
                self._at = inside.end() if inside else self._at
                if self._at >= len(buffer) or buffer[self._at] != _QUOTE:
                    return None
                self._in_string = False
                self._at += 1
            token = (_NESTED if self._depth else _SHALLOW).search(buffer, self._at)
            if token is None:
                self._at = len(buffer)
                return None
            first, last = token.start(), token.end()
            char = buffer[first]
            if char == _QUOTE:
                self._at = last
                self._in_string = last - first == 1
            elif char in _OPENING:
                self._depth += 1
                self._at = last
            elif self._depth == 0:
                self._at = first
                return bytes(buffer[self._start : first]).strip(b" \t\r\n")
            else:
                self._depth -= 1
                self._at = last

    def _skip_space(self) -> None:
        space = _SPACE.match(self._buffer, self._at)
        self._at = space.end() if space else self._at


def _check(value: bytes) -> None:
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError as problem:
        raise ScanError(str(problem)) from problem


def _parsed_key(text: bytes) -> str:
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError as problem:
        raise ScanError(str(problem)) from problem
