"""The command that runs the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from meshflow_prefect.cli.app import app, fail


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
        `real` moves by itself, `stepped` only when told by POST /emulator/clock, with the body
        {"advance": seconds}.
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
        fail(error)
    try:
        serve(settings)
    except OSError as error:
        fail(f"The emulator cannot listen on port {port}: {error.strerror}. Try --port 0.")
