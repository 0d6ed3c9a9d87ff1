"""A disk without room for the spool: which folder it is, and what helps."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshflow_prefect.bulk.workplace import ENVIRONMENT

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def room_in(directory: Path) -> Iterator[None]:
    """Say more where the block fails as there is no room: the system names no file at a write."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        raise OSError(
            error.errno,
            f"{error.strerror}: a job keeps its requests and results on disk until it has ended. "
            f"Make room, or name another folder with {ENVIRONMENT}, and run the job again: what is "
            "submitted goes on at Anthropic",
            str(directory),
        ) from error
