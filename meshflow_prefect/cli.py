"""`meshflow-prefect …`: look after batches from a terminal, and run the emulator."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import orjson
from cyclopts import App, Parameter

from meshflow_prefect import __version__
from meshflow_prefect.client import AnthropicBatchClient
from meshflow_prefect.errors import MeshflowError
from meshflow_prefect.models import BatchJob

app = App(
    name="meshflow-prefect",
    help="Anthropic's message batches: look at them, cancel them, emulate them.",
    version=__version__,
)


@app.command(name="list")
def list_batches(*, limit: int = 20) -> None:
    """Show the newest batches of the key's workspace.

    Parameters
    ----------
    limit
        How many to show, at most.
    """
    from rich.console import Console
    from rich.table import Table

    async def read() -> list[BatchJob]:
        async with AnthropicBatchClient() as client:
            return await client.list(limit)

    table = Table("batch", "status", "requests", "succeeded", "errored", "created", "ended")
    for job in _done(read()):
        table.add_row(
            job.batch_id,
            job.status,
            f"{job.total:,}",
            f"{job.request_counts['succeeded']:,}",
            f"{job.request_counts['errored']:,}",
            f"{job.created_at:%F %R}",
            f"{job.ended_at:%F %R}" if job.ended_at else "",
        )
    console = Console()
    # An id that is cut cannot be copied: let a narrow terminal break the line instead.
    wide = console.options.update(width=200)
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)


@app.command
def status(batch_id: str) -> None:
    """Print a batch as JSON."""

    async def read() -> BatchJob:
        async with AnthropicBatchClient() as client:
            return await client.status(batch_id)

    _print_json(_done(read()).to_dict())


@app.command
def results(batch_id: str) -> None:
    """Print the results of an ended batch, one JSON object a line, in the API's order."""

    async def read() -> None:
        async with (
            AnthropicBatchClient() as client,
            # The reader of our output may leave, `head` say: then the stream is closed at once.
            aclosing(client.iter_results(batch_id)) as rows,
        ):
            async for result in rows:
                _print_json(result.to_dict())

    _done(read())


@app.command
def cancel(batch_id: str) -> None:
    """Ask Anthropic to stop a batch. What was processed before is kept, and billed."""

    async def ask() -> bool:
        async with AnthropicBatchClient() as client:
            return await client.cancel(batch_id)

    print("canceling" if _done(ask()) else "It had already ended.")


@app.command
def submissions(run_id: str) -> None:
    """Print what a flow run has submitted, one JSON object a line.

    Parameters
    ----------
    run_id
        The flow run, or any run below it.
    """
    from meshflow_prefect import decisions

    for entry in _done(decisions.submissions(run_id)):
        _print_json(asdict(entry))


@app.command
def adopt(run_id: str, batch_id: str, *, number: int | None = None) -> None:
    """Take a batch for the one whose answer a run has lost. Then retry the run.

    Parameters
    ----------
    run_id
        The flow run that failed because it could not know.
    batch_id
        One of the candidates that its error names.
    number
        Which submission of the run, where several have lost their answer.
    """
    from meshflow_prefect import decisions

    entry = _done(decisions.adopt(run_id, batch_id, number))
    print(f"Submission {entry.number} of the run is batch {entry.batch_id}. Now retry the run.")


@app.command
def resubmit(run_id: str, *, number: int | None = None) -> None:
    """Have a run send a create call again whose answer was lost. Then retry the run.

    If one of the candidates was made by it after all, that batch is billed too.

    Parameters
    ----------
    run_id
        The flow run that failed because it could not know.
    number
        Which submission of the run, where several have lost their answer.
    """
    from meshflow_prefect import decisions

    entry = _done(decisions.submit_anew(run_id, number))
    print(f"Submission {entry.number} of the run will be sent again. Now retry the run.")


@app.command
def wake(run_id: str) -> None:
    """Start a run again that stays in Suspended, because its process died while it suspended it.

    Parameters
    ----------
    run_id
        The flow run, or any run below it.
    """
    from meshflow_prefect import decisions

    print(f"Run {_done(decisions.wake(run_id)).name!r} is started again.")


@app.command
def emulator(
    *,
    port: int = 8484,
    batch_seconds: float = 20.0,
    clock: Literal["real", "stepped"] = "real",
    speed: float = 1.0,
    directory: Path | None = None,
    api_key: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> None:
    """Run the Message Batches API on this machine's loopback, for tests and demos.

    Parameters
    ----------
    port
        Where to listen; 0 takes a free port.
    batch_seconds
        How long a batch takes, in emulated seconds.
    clock
        `real` moves by itself, `stepped` only when told over HTTP.
    speed
        Emulated seconds in one second of a real clock.
    directory
        Where to keep batches. Left out, they are gone when the emulator ends.
    api_key
        The only keys to accept. Left out, any key is that does not begin with `sk-ant-invalid`.
    """
    from meshflow_prefect.emulator import EmulatorSettings, serve

    try:
        settings = EmulatorSettings(
            port=port,
            batch_seconds=batch_seconds,
            clock=clock,
            speed=speed,
            directory=directory,
            api_keys=api_key,
        )
    except ValueError as error:
        _fail(error)
    try:
        serve(settings)
    except OSError as error:
        _fail(f"The emulator cannot listen on port {port}: {error.strerror}. Try --port 0.")


def main() -> None:
    """Run the command line. Errors are one line on standard error, with exit code 1."""
    try:
        app()
    except BrokenPipeError:
        # Python's own flush at exit would complain of it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _done(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except MeshflowError as error:
        _fail(error)


def _fail(error: Exception | str) -> NoReturn:
    print(error, file=sys.stderr)
    raise SystemExit(1)


def _print_json(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
