"""Reports for people: tables in markdown that no text of a model can break. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

_CELL = 160
"""The most characters of a text in a table."""

_MARKS = re.compile(r"([\\`*_~|\[\]!#$<>])")
_BLANKS = re.compile(r"\s+")
_BARS = "▁▂▃▄▅▆▇█"


def escaped(text: str, *, most: int = _CELL) -> str:
    """Return a text on one line, cut, with nothing in it that markdown or HTML would act on."""
    line = _BLANKS.sub(" ", text).strip()
    if len(line) > most:
        line = f"{line[:most]}…"
    # As entities where HTML has them: what renders markdown may read a backslash in its own way.
    line = line.replace("&", "&amp;")
    marked = _MARKS.sub(r"\\\1", line)
    return marked.replace(r"\<", "&lt;").replace(r"\>", "&gt;").replace("://", r":\//")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> list[str]:
    """Return the lines of a table; the last `right` columns hold figures."""
    rules = ["---"] * (len(head) - right) + ["---:"] * right
    return [f"| {' | '.join(cells)} |" for cells in (head, rules, *rows)]


def percent(share: float | None) -> str:
    """Return a share as `84.5 %`."""
    return "–" if share is None else f"{100 * share:.1f} %"


def money(usd: float | None) -> str:
    """Return a sum with the four digits that matter, never as `7.65e-05`."""
    return "US$ unknown" if usd is None else f"US$ {Decimal(f'{usd:.4g}'):f}"


def bars(shares: Sequence[float]) -> str:
    """Return a small chart of shares from 0.0 to 1.0, one character each."""
    return "".join(_BARS[min(len(_BARS) - 1, int(share * len(_BARS)))] for share in shares)
