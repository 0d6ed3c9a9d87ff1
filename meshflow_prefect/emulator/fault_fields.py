"""One JSON object of a fault plan, read field by field: each by its type, and none left over."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any, NoReturn, TypeVar

from meshflow_prefect.emulator.wire import ApiError

_Word = TypeVar("_Word", bound=str)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ \t!-~]*[!-~])?")
_HEADERS_OF_THE_EMULATOR = frozenset({"content-length", "transfer-encoding", "request-id"})


class FaultFields:
    """The fields of one fault. What is wrong with one is refused under its name."""

    def __init__(self, given: object, at: str) -> None:
        self._at = at
        if not isinstance(given, dict):
            raise ApiError("invalid_request_error", f"{at}: must be a JSON object, not {given!r}")
        self.given: dict[str, Any] = given
        self._unread = set(given)

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def refuse(self, name: str, why: str) -> NoReturn:
        """Say what is wrong with a field."""
        raise ApiError("invalid_request_error", f"{self._at}.{name}: {why}")

    def finish(self, kind: str) -> None:
        """Refuse the fields that have not been read."""
        for name in sorted(self._unread):
            self.refuse(name, f"is not a field of {kind}")

    def allow_one(self, *names: str) -> None:
        """Refuse a second field out of several that exclude each other."""
        found = [name for name in names if self.given.get(name, False) is not False]
        if len(found) > 1:
            self.refuse(found[1], f"cannot be used together with {found[0]}")

    def need(self, name: str, *others: str) -> None:
        """Refuse a field that makes no sense without one of others."""
        if name in self.given and self.given.keys().isdisjoint(others):
            self.refuse(name, f"needs {' or '.join(others)}")

    def text(self, name: str) -> str | None:
        """Return a text of at least one character, or None where there is none."""
        value: str | None = self._take(name)
        if name in self.given and not (isinstance(value, str) and value):
            self.refuse(name, f"must be a text that is not empty, not {value!r}")
        return value

    def word(self, name: str, words: Collection[_Word]) -> _Word | None:
        """Return one of some words, or None where there is none."""
        value: _Word | None = self._take(name)
        if name in self.given and value not in [*words]:
            self.refuse(name, f"must be one of {', '.join(sorted(words))}, not {value!r}")
        return value

    def whole(self, name: str, default: int, *, least: int = 0, most: int = 2**63) -> int:
        """Return a whole number."""
        value = self._take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            upper = f" and at most {most}" if most < 2**63 else ""
            self.refuse(name, f"must be a whole number of at least {least}{upper}, not {value!r}")
        return value

    def whole_or_null(self, name: str, default: int | None) -> int | None:
        """Return a whole number of at least 1, or None for null."""
        if self.given.get(name, default) is None:
            self._unread.discard(name)
            return None
        return self.whole(name, default or 1, least=1)

    def optional_whole(self, name: str, *, least: int) -> int | None:
        """Return a whole number, or None where there is none."""
        return self.whole(name, least, least=least) if name in self.given else None

    def number(self, name: str, default: float, *, most: float = math.inf) -> float:
        """Return a number of at least 0."""
        value = self._take(name, default)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not 0 <= value <= most or math.isinf(value):
            upper = "" if math.isinf(most) else f" and at most {most:g}"
            self.refuse(name, f"must be a number of at least 0{upper}, not {value!r}")
        return float(value)

    def flag(self, name: str) -> bool:
        """Return a truth value, which is false where there is none."""
        value = self._take(name, False)
        if not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {value!r}")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object, or None where there is none."""
        value: dict[str, Any] | None = self._take(name)
        if name in self.given and not isinstance(value, dict):
            self.refuse(name, f"must be a JSON object, not {value!r}")
        return value

    def headers(self, name: str) -> dict[str, str]:
        """Return HTTP headers."""
        headers = self.mapping(name) or {}
        for header, value in headers.items():
            if not _HEADER_NAME.fullmatch(header) or header.lower() in _HEADERS_OF_THE_EMULATOR:
                self.refuse(name, f"{header!r} is not a header that can be chosen")
            if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
                self.refuse(name, f"{header} must be a text for a header, not {value!r}")
        return headers

    def _take(self, name: str, default: Any = None) -> Any:
        self._unread.discard(name)
        return self.given.get(name, default)
