"""File jobs that are called directly, on a real Prefect server: they wait in their own process."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import fsspec
import pytest

from tests.support.in_process import emulator, spools

__all__ = ["emulator", "spools"]


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of a folder in memory that no other test uses."""
    url = f"memory://{uuid4().hex}"
    yield url
    filesystem, path = fsspec.core.url_to_fs(url)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)
