"""A prompt with columns in braces, filled from one row after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from meshflow_prefect import exact_json
from meshflow_prefect.errors import InvalidRequestError, TemplateError

_PIECE = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")

_SPEC = re.compile(
    r"(?:.?[<>=^])?[-+ ]?z?#?0?[0-9]{0,3}[_,]?(?:\.[0-9]{1,3})?[bcdeEfFgGnosxX%]?", re.DOTALL
)
"""Python's format specs, where a width has at most three digits: a wider one fills the memory."""

_MOST_NAMED = 20
"""How many of a row's columns an error names."""

_NUMERIC = frozenset("bcdeEfFgGnoxX%")


class Template:
    r"""A text with `{column}` where a row's value of that column belongs.

    `{{` and `}}` are braces. `{price:.2f}` formats as Python does; a text that is a number as JSON
    has it, as those of a CSV file, is formatted as that number. Texts stand as they are, other
    values as JSON: `true`, `3`, `["a","b"]`. A column may have any name without braces, quotes,
    `:`, `!`, `.`, `[`, `]`, line ends and blanks at its ends: nothing but columns can be reached.

    Raises `InvalidRequestError` with the line and column of what is wrong, and `position`, its
    offset in the text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        """The template as it was given."""
        self._pieces: list[tuple[str, str | None, str]] = []
        literal = ""
        end = 0
        for match in _PIECE.finditer(text):
            literal += text[end : match.start()]
            end = match.end()
            piece = match.group()
            if piece in ("{{", "}}"):
                literal += piece[0]
            elif len(piece) == 1:
                self._refuse(match.start(), f"a single {piece!r}: write {piece * 2!r} for a brace")
            else:
                name, spec = self._parse(piece[1:-1], match.start())
                self._pieces.append((literal, name, spec))
                literal = ""
        self._pieces.append((literal + text[end:], None, ""))
        self.columns: tuple[str, ...] = tuple(
            dict.fromkeys(name for _, name, _ in self._pieces if name is not None)
        )
        """The columns that a row must have, each once, in the order of their first use."""

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text with the row's values.

        Raises `TemplateError`, with the `column`, for one that is missing or null, or whose value
        does not fit its format.
        """
        parts = []
        for literal, name, spec in self._pieces:
            parts.append(literal)
            if name is None:
                break
            try:
                value = values[name]
            except KeyError:
                raise TemplateError(_missing(name, values), column=name) from None
            parts.append(value if type(value) is str and not spec else _text(name, value, spec))
        return "".join(parts)

    def _parse(self, field: str, position: int) -> tuple[str, str]:
        name, colon, spec = field.partition(":")
        if not name:
            self._refuse(position, "empty braces: name a column, or write '{{}}' for braces")
        if name != name.strip() or any(mark in name for mark in "\"'\r\n"):
            self._refuse(
                position, f"{name!r} is not the name of a column: write '{{{{' for a brace"
            )
        if any(mark in name for mark in ".[]"):
            self._refuse(position, f"{name!r}: columns only, without attributes and indexes")
        if "!" in name:
            self._refuse(position, f"{name!r}: conversions with '!' are not supported")
        if colon and not _SPEC.fullmatch(spec):
            self._refuse(position, f"{spec!r} is not a format, such as '.2f'")
        return name, spec

    def _refuse(self, position: int, why: str) -> NoReturn:
        line = self.text.count("\n", 0, position) + 1
        column = position - self.text.rfind("\n", 0, position)
        raise InvalidRequestError(
            f"The template, line {line}, column {column}: {why}.", position=position
        )


def _text(name: str, value: Any, spec: str) -> str:
    """Return a value as text, when it is not one, or has a format."""
    if value is None:
        raise TemplateError(f"column {name!r} is null", column=name)
    try:
        if not spec:
            if isinstance(value, str):
                return str(value)
            return exact_json.dumps(value).decode()
        if spec[-1] in _NUMERIC and isinstance(value, str):
            value = exact_json.loads(value)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            value = exact_json.dumps(value).decode()
        return format(value, spec)
    except (TypeError, ValueError, OverflowError) as error:
        what = f"does not fit the format {spec!r}" if spec else "cannot be written as JSON"
        raise TemplateError(f"column {name!r} {what}: {error}", column=name) from None


def _missing(name: str, values: Mapping[str, Any]) -> str:
    there = ", ".join([*values][:_MOST_NAMED])
    more = ", …" if len(values) > _MOST_NAMED else ""
    return f"column {name!r} is missing; the row has {there or 'none'}{more}"
