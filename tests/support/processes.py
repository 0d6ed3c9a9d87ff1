"""Real processes for tests: started in groups of their own, ended by their id, seen in /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(
    found: Callable[[], T | None], what: str, *, limit: float = 180.0, pause: float = 0.2
) -> T:
    """Return the first true answer of `found`; fail, naming `what`, after a generous limit.

    Between two looks it sleeps for `pause` seconds.
    """
    deadline = time.monotonic() + limit
    while True:
        if answer := found():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {limit:g} s: {what}. Last seen: {answer!r}")
        time.sleep(pause)  # between two looks at a condition


@contextmanager
def running(
    command: list[str], *, env: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs; its output goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=dict(env), stdout=output, stderr=output, cwd=cwd, start_new_session=True
        )
        try:
            yield process
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: politely, then at once."""
    for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    # What the leader left behind in its group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def processes_of_run(flow_run_id: str) -> list[int]:
    """Return the ids of the processes that execute this flow run, out of the process table."""
    return processes_with(
        f"PREFECT__FLOW_RUN_ID={flow_run_id}",
        f"PREFECT__FLOW_RUN_ID={flow_run_id.replace('-', '')}",
    )


def processes_with(*marks: str) -> list[int]:
    """Return the ids of the processes that have one of these `NAME=value` in the environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().decode("utf-8", "replace").split("\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and any(mark in environment for mark in marks):
            found.append(int(entry.name))
    return found
