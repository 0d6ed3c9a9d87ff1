"""The command line itself, and what its commands have in common."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn

from cyclopts import App, CycloptsError

from meshflow_prefect import __version__, exact_json
from meshflow_prefect.errors import MeshflowError

if TYPE_CHECKING:
    from rich.table import Table

app = App(
    name="meshflow-prefect",
    help="Anthropic's message batches: run files, look at batches, cancel them, emulate them.",
    version=__version__,
)


def main() -> None:
    """Run the command line. Errors are one line on standard error, with exit code 1.

    A command line that means nothing ends with 2, as is the custom, and so does what is wrong with
    a `cost-gate`, whose 1 says that the gate has failed.
    """
    # To look for cycles as often as is usual takes an eighth of the time that loading takes.
    gc.set_threshold(20_000, 50, 100)
    for word in sys.argv[1:]:
        try:
            word.encode()
        except UnicodeEncodeError:
            # Neither Prefect nor Anthropic takes another text.
            fail(f"{word!a}: not UTF-8.", code=2)
    try:
        app(exit_on_error=False)
    except CycloptsError:
        # It has been told.
        raise SystemExit(2) from None
    except BrokenPipeError:
        _say_no_more()
    except OSError as error:
        # What was said goes to a disk that is full, say.
        if error.errno is None:
            raise
        _say_no_more()
        fail(error)
    finally:
        # Python ends with another look at all that was loaded, of a quarter of that time.
        gc.freeze()


def _say_no_more() -> None:
    # Python's own flush at exit would complain of it once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def done(work: Coroutine[Any, Any, Any], *, code: int = 1) -> Any:
    """Run a command's work, and end with this exit code where it cannot be done."""
    try:
        return asyncio.run(work)
    except MeshflowError as error:
        fail(error, code=code)
    except OSError as error:
        # What the system says of a full disk, or of a folder that is none, tells all; what is
        # raised without its number, such as a TimeoutError, may say nothing.
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        fail(error, code=code)


def fail(error: Exception | str, *, code: int = 1) -> NoReturn:
    """Say what is wrong, and end with this exit code."""
    print(error, file=sys.stderr)
    raise SystemExit(code)


def print_table(table: Table, *, to_stderr: bool = False) -> None:
    """Print a table with whole cells: of a narrow terminal it is the lines that break.

    An id that is cut cannot be copied, and the logs of CI are no wider than 80 columns.
    """
    from rich.console import Console

    console = Console(stderr=to_stderr)
    wide = console.options.update(width=200)
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)


def print_json(value: dict[str, Any]) -> None:
    """Print a line that other programs can read."""
    sys.stdout.buffer.write(exact_json.dumps(value) + b"\n")
    sys.stdout.buffer.flush()
