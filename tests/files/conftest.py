"""Files in a folder of their own, on disk and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import fsspec
import pytest


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of a folder in memory that no other test uses."""
    url = f"memory://{uuid4().hex}"
    yield url
    filesystem, path = fsspec.core.url_to_fs(url)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """The current folder, an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
