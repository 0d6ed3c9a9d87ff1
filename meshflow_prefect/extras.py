"""Packages that only some users need: imported when they are, and named with their extra if not."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from meshflow_prefect.errors import MeshflowError


def import_extra(module: str, *, extra: str, what: str) -> Any:
    """Return a module of an optional package.

    Raises `MeshflowError`, naming `what` needs it and the extra to install, where it is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MeshflowError(
            f"{what} needs the package {package!r}: pip install 'meshflow-prefect[{extra}]'."
        ) from error
