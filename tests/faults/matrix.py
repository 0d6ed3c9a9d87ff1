"""The matrix of faults: what each test of a fault has seen, and the page that is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Group = Literal["create", "wait", "collect", "kills", "cancel", "beside"]

_TITLES = {
    "create": "The create call",
    "wait": "The wait",
    "collect": "The results",
    "kills": "Killed processes",
    "cancel": "Cancellation",
    "beside": "Beside the SDK's own loop",
}
_HEAD = """\
# Faults

Made by `make faults` from the tests that passed; each row is what its test saw. Not edited by hand.
"""
_COLUMNS = ("fault", "what the user sees", "batches created", "paid for", "rows lost")


@dataclass(frozen=True)
class Row:
    """One fault, and what came of it."""

    group: Group
    fault: str
    seen: str
    """What the user sees: the state that the run ends in, the exception, what there is to press."""
    created: int | str
    """Batches that the API made."""
    paid: int | str
    """Those that are billed."""
    lost: int | str
    """Requests that the user has no row for."""


class Matrix:
    """The rows of a session, by the test that recorded each."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, Row]] = []
        self._passed: set[str] = set()

    def record(self, test: str, row: Row) -> None:
        if row.group not in get_args(Group):
            raise ValueError(f"group: expected one of {get_args(Group)}, got {row.group!r}")
        self._rows.append((test, row))

    def passed(self, test: str) -> None:
        self._passed.add(test)

    @property
    def rows(self) -> list[Row]:
        """The rows of the tests that passed, in the order of the tests."""
        return [row for test, row in self._rows if test in self._passed]

    def write(self, page: Path) -> None:
        page.parent.mkdir(exist_ok=True)
        page.write_text(page_of(self.rows))


def page_of(rows: Iterable[Row]) -> str:
    """The rows as Markdown, a table for each group that has any."""
    by_group: dict[str, list[Row]] = {group: [] for group in _TITLES}
    for row in rows:
        by_group[row.group].append(row)
    tables = [_table(_TITLES[group], found) for group, found in by_group.items() if found]
    return "\n".join([_HEAD, *tables])


def _table(title: str, rows: list[Row]) -> str:
    lines = [f"## {title}", "", _line(_COLUMNS), _line("---" for _ in _COLUMNS)]
    lines += [_line((row.fault, row.seen, row.created, row.paid, row.lost)) for row in rows]
    return "\n".join([*lines, ""])


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
