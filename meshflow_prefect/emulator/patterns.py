r"""A text that matches a regular expression, for the `pattern` of a schema.

It knows what schemas commonly use: literals, `.`, `\d \w \s`, character classes, groups,
alternatives and quantifiers. What it makes is checked with `re`, so it is never wrong, only
sometimes unable.
"""

from __future__ import annotations

import re
import string

_PRINTABLE = string.ascii_lowercase + string.digits + string.ascii_uppercase + "-_ .,:;@/+!#"
_CLASSES = {"d": string.digits, "w": string.ascii_lowercase + string.digits + "_", "s": " "}
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}
_REPEAT = re.compile(r"\{(\d+)(,?)(\d*)\}")


def text_matching(pattern: str) -> str | None:
    """Return a short text in which `pattern` is found, or None where none could be made."""
    try:
        expression = re.compile(pattern)
        text = _Maker(pattern).alternatives()
    except (re.error, IndexError, ValueError):
        return None
    return text if expression.search(text) else None


class _Maker:
    """Reads a pattern from left to right and writes the simplest text for each part."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> str:
        """Return the first of the alternatives up to the end of this group."""
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._pattern[self._at]
        self._at += 1
        return char

    def _sequence(self) -> str:
        text = ""
        while self._peek() not in ("", "|", ")"):
            piece = self._atom()
            text += piece * self._repetitions()
        return text

    def _atom(self) -> str:
        char = self._take()
        if char in "^$":
            return ""
        if char == ".":
            return "a"
        if char == "(":
            return self._group()
        if char == "[":
            return self._one_of()
        if char == "\\":
            return self._escaped()[:1]
        return char

    def _group(self) -> str:
        keep = True
        if self._peek() == "?":
            self._at += 1
            kind = self._take()
            keep = kind != "!"  # a negative lookahead writes nothing
            if kind == "P":
                self._at = self._pattern.index(">", self._at) + 1
        text = self.alternatives()
        if self._take() != ")":
            raise ValueError("unbalanced group")
        return text if keep else ""

    def _escaped(self) -> str:
        char = self._take()
        if char in "bBAZ":
            return ""
        if char in "DWS":
            return "-" if char != "S" else "a"
        return _CLASSES.get(char) or _CONTROL.get(char, char)

    def _one_of(self) -> str:
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        allowed = ""
        while not (self._peek() == "]" and allowed):
            char = self._escaped() if self._peek() == "\\" and self._take() else self._take()
            if self._peek() == "-" and self._pattern[self._at + 1] != "]":
                self._at += 1
                last = self._take()
                char = "".join(map(chr, range(ord(char), min(ord(last), ord(char) + 127) + 1)))
            allowed += char
        self._at += 1
        if not negated:
            return allowed[0]
        return next(char for char in _PRINTABLE if char not in allowed)

    def _repetitions(self) -> int:
        times = 1
        if self._peek() in ("*", "?", "+"):
            times = 0 if self._take() == "?" else 1
        else:
            match = _REPEAT.match(self._pattern, self._at)
            if match is not None:
                self._at = match.end()
                times = int(match.group(1))
                if times == 0 and match.group(3) not in ("", "0"):
                    times = 1
        if self._peek() in ("?", "+"):  # lazy or possessive: no difference here
            self._at += 1
        return times
