"""Which processes are at work in a folder: a lock that ends with its process, however it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FILE = ".at-work"


@contextmanager
def present(folder: Path) -> Iterator[None]:
    """Be seen at work in the folder while the block runs; any number of processes may be."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _FILE).open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            # Some network filesystems have no locks: there nobody is seen.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_anybody_in(folder: Path) -> bool:
    """Whether a process is seen at work in the folder."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        with (folder / _FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
