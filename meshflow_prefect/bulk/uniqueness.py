"""What has been seen in a source of any size: a table on disk, so that memory does not grow."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryFile

import orjson

_CACHE_KIB = 16_384
_TOGETHER = 5_000
"""How many rows are put off at once."""
_INSERT = "INSERT INTO seen VALUES (?, ?, ?)"


class Seen:
    """Keys of one kind, and where each was met first. For one pass over a source; no longer."""

    def __init__(self, path: Path) -> None:
        """Begin with nothing seen; a file that is there already is replaced."""
        path.unlink(missing_ok=True)
        self._table = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # A table that is lost with the process is made anew with the spool.
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._table.execute("CREATE TABLE seen (key PRIMARY KEY, first, second) WITHOUT ROWID")
        self._table.execute("BEGIN")
        self._greatest: tuple[int, str | bytes] = (-1, "")
        self._waiting: list[tuple[object, ...]] = []
        self._put_off = TemporaryFile(dir=path.parent)  # noqa: SIM115  (`close` closes it)

    def first(self, key: str | bytes, place: tuple[str | int, int]) -> tuple[str | int, int] | None:
        """Return where a key was met before; None, and note `place`, when it is new."""
        # Rows are mostly in the order of their ids, and what is greater than all is new: the table
        # is needed once one is not, if ever. Of two numbers the longer one is greater.
        if (rank := (len(key), key)) > self._greatest:
            self._greatest = rank
            self._waiting.append((key, *place))
            if len(self._waiting) == _TOGETHER:
                self._make_room()
            return None
        self._settle()
        try:
            self._table.execute(_INSERT, (key, *place))
        except sqlite3.IntegrityError:
            return self.place_of(key)
        return None

    def place_of(self, key: str | bytes) -> tuple[str | int, int] | None:
        """Return where a key was met first; None for one that was not."""
        self._settle()
        found = self._table.execute("SELECT first, second FROM seen WHERE key = ?", (key,))
        place: tuple[str | int, int] | None = found.fetchone()
        return place

    def _make_room(self) -> None:
        if isinstance(self._waiting[0][0], bytes):
            self._settle()
            return
        self._put_off.write(orjson.dumps(self._waiting) + b"\n")
        self._waiting.clear()

    def _settle(self) -> None:
        """Put all that waits into the table."""
        if self._put_off.tell():
            self._put_off.seek(0)
            for together in self._put_off:
                self._table.executemany(_INSERT, orjson.loads(together))
            self._put_off.seek(0)
            self._put_off.truncate()
        self._table.executemany(_INSERT, self._waiting)
        self._waiting.clear()

    def close(self) -> None:
        """Give the file up."""
        self._table.close()
        self._put_off.close()
