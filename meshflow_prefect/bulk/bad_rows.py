"""Rows that are no requests: they end the job before anything is sent, or the output tells them."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Literal, TypeAlias

from meshflow_prefect import exact_json
from meshflow_prefect.bulk.uniqueness import Seen
from meshflow_prefect.errors import BadRowsError
from meshflow_prefect.reading.rows import Row

OnBadRow: TypeAlias = Literal["raise", "skip"]

_NAMED = 20
"""How many bad rows an error names; reading stops there."""


class BadRows:
    """The bad rows of one pass over a source."""

    def __init__(self, on_bad_row: OnBadRow) -> None:
        """Begin with none."""
        self.skipped = 0
        """How many the output tells."""
        self._is_skipping = on_bad_row == "skip"
        self._told: list[tuple[str, str]] = []
        self._unnamed = array("Q")

    def add(self, row: Row, why: str, *, needs_name: bool) -> None:
        """Note a bad row. `needs_name`: it has no id, and its number may be that of another row.

        Raises `BadRowsError` once there are more of them than it names, unless they are skipped.
        """
        if needs_name:
            self._unnamed.append(row.number)
        if self._is_skipping:
            self.skipped += 1
            return
        self._told.append((row.place, why))
        if len(self._told) == _NAMED:
            self._fail(row.number + 1, rest=" The rest was not read.")

    def check(self, read: int) -> None:
        """Raise `BadRowsError` if there is one among so many rows, unless they are skipped."""
        if self._told:
            self._fail(read)

    def rename(self, spooled: Path, ids: Seen) -> None:
        """Give those other names whose number is the id of a row, before or after them.

        They must not be taken for it. `spooled` is the file of all rows, `ids` are those of rows.
        """
        taken = {n for n in self._unnamed if ids.place_of(str(n)) is not None}
        if not taken:
            return
        renamed = spooled.with_suffix(".renamed")
        with spooled.open("rb") as lines, renamed.open("xb") as new:
            for number, line in enumerate(lines):
                if number not in taken:
                    new.write(line)
                    continue
                chunk, problem, _, *columns = exact_json.loads(line)
                new.write(exact_json.dumps([chunk, problem, f"row {number}", *columns]) + b"\n")
        renamed.replace(spooled)

    def _fail(self, read: int, rest: str = "") -> None:
        first = "the first " if rest else ""
        places: dict[str, list[str]] = {}
        for place, why in self._told:
            places.setdefault(why, []).append(place)
        told = (f"{_places(found)}: {why}" for why, found in places.items())
        raise BadRowsError(
            f"{len(self._told)} of {first}{read:,} rows cannot be sent: "
            + "; ".join(told)
            + f".{rest} Nothing was submitted. Mend them, or keep them out of the batches with "
            "on_bad_row='skip' (--on-bad-row skip): the output says of each what is wrong then.",
            rows=[f"{place}: {why}" for place, why in self._told],
        )


def _places(found: list[str]) -> str:
    """Return where rows are, without the name of their file where it is the first one's."""
    file, comma, _ = found[0].rpartition(", ")
    return ", ".join([found[0], *(place.removeprefix(file + comma) for place in found[1:])])
