"""What has been seen in a source of any size: a table on disk, so that memory does not grow."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_CACHE_KIB = 16_384


class Seen:
    """Keys, and where each was met first. For one pass over a source; gone with its file."""

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

    def first(self, key: str | bytes, place: tuple[str | int, int]) -> tuple[str | int, int] | None:
        """Return where a key was met before; None, and note `place`, when it is new."""
        try:
            self._table.execute("INSERT INTO seen VALUES (?, ?, ?)", (key, *place))
        except sqlite3.IntegrityError:
            found = self._table.execute("SELECT first, second FROM seen WHERE key = ?", (key,))
            first, second = found.fetchone()
            return first, second
        return None

    def close(self) -> None:
        """Give the file up."""
        self._table.close()
