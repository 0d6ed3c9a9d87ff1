"""The command line itself, and what its commands have in common."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

import orjson
from cyclopts import App

from meshflow_prefect import __version__
from meshflow_prefect.errors import MeshflowError

app = App(
    name="meshflow-prefect",
    help="Anthropic's message batches: run files, look at batches, cancel them, emulate them.",
    version=__version__,
)


def main() -> None:
    """Run the command line. Errors are one line on standard error, with exit code 1."""
    try:
        app()
    except BrokenPipeError:
        # Python's own flush at exit would complain of it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def done(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work, and end with exit code 1 where it cannot be done."""
    try:
        return asyncio.run(work)
    except MeshflowError as error:
        fail(error)


def fail(error: Exception | str) -> NoReturn:
    """Say what is wrong, and end with exit code 1."""
    print(error, file=sys.stderr)
    raise SystemExit(1)


def print_json(value: dict[str, Any]) -> None:
    """Print a line that other programs can read."""
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()
