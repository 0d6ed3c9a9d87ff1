"""A path or a URL → the filesystem that holds it, and the words for what goes wrong there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from pydantic import BeforeValidator, WithJsonSchema

from meshflow_prefect.errors import MeshflowError

FileName: TypeAlias = Annotated[
    str | os.PathLike[str],
    BeforeValidator(lambda given: os.fspath(given) if isinstance(given, os.PathLike) else given),
    # The form of a deployment asks for a text.
    WithJsonSchema({"type": "string"}),
]
"""A path or a URL, as a parameter of a flow."""

_DRIVERS = frozenset(
    [
        "adlfs",
        "aiobotocore",
        "aiohttp",
        "azure",
        "botocore",
        "gcsfs",
        "google",
        "lz4",
        "paramiko",
        "requests",
        "s3fs",
        "smbprotocol",
        "snappy",
        "zstandard",
    ]
)
"""Packages behind fsspec's filesystems and compressions, which have errors of their own."""

_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")


def open_filesystem(
    url: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None,
    failure: type[MeshflowError],
) -> tuple[Any, str]:
    """Return the fsspec filesystem of a path or URL, and the path in it.

    Raises `failure` for no name at all, and for a protocol that is not known or whose driver is
    not installed.
    """
    if not os.fspath(url).strip():
        # To fsspec it would be the folder that the process happens to run in.
        raise failure("'': name a file or a folder ('.' is the folder of the process).", url="")
    try:
        # An archive is opened here already: `zip://*.jsonl::rows.zip`.
        with explained(failure, shown(url), "cannot be opened"):
            filesystem, path = url_to_fs(os.fspath(url), **(storage_options or {}))
    except ImportError as error:
        raise failure(f"{shown(url)!r}: {error}, with pip.", url=shown(url)) from error
    except ValueError as error:
        raise failure(f"{shown(url)!r}: {error}.", url=shown(url)) from error
    return filesystem, path


def is_local(filesystem: Any) -> bool:
    """Whether the paths of a filesystem are paths of this machine."""
    return isinstance(filesystem, LocalFileSystem)


def shown(url: str | os.PathLike[str]) -> str:
    """Return a path or URL as it may be shown: without a password or a signature."""
    text = _PASSWORD.sub(r"\1:***@", os.fspath(url))
    for local in ("file://", "local://"):
        text = text.removeprefix(local)
    return text.partition("?")[0] if text.startswith(("http://", "https://")) else text


@contextmanager
def explained(failure: type[MeshflowError], name: str, what: str) -> Iterator[None]:
    """Turn the errors of a filesystem into ours: `'name': what: reason`."""
    try:
        yield
    except Exception as error:
        # fsspec's drivers raise them with a sentence, the operating system with a number.
        if isinstance(error, OSError):
            reason = error.strerror or str(error) or type(error).__name__
        elif type(error).__module__.partition(".")[0] in _DRIVERS:
            # Without credentials, say, or with a host that does not answer.
            reason = str(error).rstrip(".") or type(error).__name__
        else:
            raise
        raise failure(f"{name!r}: {what}: {reason}.", url=name) from error


def whole_path(place: str) -> str:
    """Return a path that means the same in every folder; URLs and variables do already."""
    is_path = "://" not in place and not place.startswith("variable:")
    return str(Path(place).resolve()) if is_path else place
