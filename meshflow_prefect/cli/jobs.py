"""What commands that run jobs have in common: their parameters, their keys, and their end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from threading import Timer
from typing import Any, NoReturn

import orjson

from meshflow_prefect.cli.app import done, fail, print_json
from meshflow_prefect.cli.leaving import EXIT_CODES, STOPPED, leaving_in_time
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.structured import OutputType


def run_file_job(work: Coroutine[Any, Any, Any]) -> None:
    """Run a job that gives a `FileSummary`; print its figures, in words and as JSON."""
    summary = interruptible(work)
    print(summary, file=sys.stderr)
    print_json(summary.to_dict())
    if not summary.succeeded:
        fail(f"None of the {summary.rows:,} rows succeeded; each says why in the output.")
    if summary.unsent:
        fail(f"{summary.unsent:,} requests were not sent: max_cost_usd was reached.")


def interruptible(work: Coroutine[Any, Any, Any], *, code: int = 1) -> Any:
    """Run a job that Ctrl-C or SIGTERM leave to be gone on with; see `done` for `code`."""
    from prefect.exceptions import TerminationSignal

    try:
        with leaving_in_time():
            return done(_hearing_signals(work), code=code)
    except (KeyboardInterrupt, TerminationSignal) as received:
        print(STOPPED, file=sys.stderr)
        by_hand = isinstance(received, KeyboardInterrupt)
        raise SystemExit(EXIT_CODES[signal.SIGINT if by_hand else signal.SIGTERM]) from None


async def _hearing_signals(work: Coroutine[Any, Any, Any]) -> Any:
    """Do some work, and have a signal come once more that asyncio has taken for another error.

    Prefect raises it wherever the program is. In a callback of the event loop, such as one that
    reads a socket, it would be logged, and nothing else.
    """
    from prefect.exceptions import TerminationSignal

    def heard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), TerminationSignal):
            # By a thread: a signal that is sent in here would be raised in here.
            Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(heard)
    return await work


def failing_above(threshold: float | None) -> dict[str, Any]:
    """Return the options of a job that fails beyond a share of failed rows; None: it never does."""
    if threshold is None:
        return {"on_failure": "return", "failure_threshold": 0.0}
    return {"on_failure": "raise", "failure_threshold": threshold}


def digest_of(said: Any) -> str:
    """Return a digest of all that decides what a command submits, as JSON values."""
    whole = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(whole).hexdigest()[:24]


def object_of(option: str, text: str) -> dict[str, Any]:
    """Return the JSON object that an option holds."""
    try:
        parsed = orjson.loads(text)
    except ValueError as error:
        _refuse(f"{option}: not JSON: {error}.")
    if not isinstance(parsed, dict):
        _refuse(f"{option}: expected a JSON object, got {text!r}.")
    return parsed


def output_type_of(text: str | None) -> Any:
    """Return what `--output-type` names: an import path, or the JSON Schema in a file."""
    if text is None:
        return None
    if not text.endswith(".json"):
        # As with `python -m`, a module in this folder is found by its name.
        sys.path.insert(0, "")
        return text
    option = f"--output-type {text}"
    try:
        return object_of(option, Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        _refuse(f"{option}: cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        _refuse(f"{option}: not UTF-8.")


def schema_of(output_type: Any) -> Any:
    """Return the JSON Schema of an output type, which is all of it that is sent."""
    return None if output_type is None else OutputType.of(output_type).full_schema


def _refuse(rule: str) -> NoReturn:
    raise InvalidRequestError(rule)
