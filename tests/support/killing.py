"""SIGKILL, as a machine that loses its power deals it: to a run, to a worker, to a server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path

from tests.support.processes import processes_of_run, processes_with, wait_until


def kill(*processes: int, with_signal: signal.Signals = signal.SIGKILL) -> None:
    """Signal processes by their ids; those that have ended are left alone."""
    for number in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, with_signal)


def executing(run_id: str) -> set[int]:
    """Return the processes that execute a run; not the worker's, that run its hooks after it."""
    found = processes_of_run(run_id)
    return {number for number in found if not _runs(number, "hook", "crashed")}


def kill_run(run_id: str) -> int:
    """SIGKILL every process of a flow run; return how many there were, once none is left."""
    stopped: set[int] = set()
    # Stopped first, so that none starts another one while the others are killed.
    while found := executing(run_id) - stopped:
        kill(*found, with_signal=signal.SIGSTOP)
        stopped |= found
    kill(*stopped)
    wait_until(
        lambda: not stopped & executing(run_id), f"the processes of run {run_id} are dead", limit=30
    )
    return len(stopped)


def kill_worker(worker: subprocess.Popen[bytes], run_id: str) -> None:
    """SIGKILL a worker with its children, among them the processes of a run."""
    with contextlib.suppress(ProcessLookupError):
        # It is not waited for: its id must stay its own until its test ends the group.
        os.killpg(worker.pid, signal.SIGKILL)
    kill_run(run_id)


def processes_running(command: tuple[str, ...], *marks: str) -> list[int]:
    """Return those processes with one of the marks whose command line holds these words in a row.

    See `processes_with` for the marks.
    """
    return [number for number in processes_with(*marks) if _runs(number, *command)]


def _runs(process: int, *words: str) -> bool:
    try:
        line = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return "\0".join(["", *words, ""]).encode() in line


class Sword:
    """What a trap does: kills the run that it is pointed at, once."""

    def __init__(self) -> None:
        self._run_id = ""
        self._pointed = threading.Event()
        self.killed = 0
        """How many processes there were."""

    def point_at(self, run_id: str) -> None:
        """Name the run. A trap that is sprung earlier waits for this."""
        self._run_id = run_id
        self._pointed.set()

    def __call__(self) -> None:
        """Kill it, and return when it is dead."""
        if not self._pointed.wait(60):
            raise AssertionError("The trap was sprung before a run was named.")
        self.killed = kill_run(self._run_id)
        if not self.killed:
            raise AssertionError(f"The trap was sprung, and run {self._run_id} had no process.")
