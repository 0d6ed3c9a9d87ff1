"""The command line, as processes of their own in a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from meshflow_prefect.emulator import Emulator
from tests.support.processes import end_group
from tests.support.stack import Stack

COMMAND = [sys.executable, "-m", "meshflow_prefect.cli"]


@dataclass
class Shell:
    """Starts commands; all that was started is ended."""

    env: dict[str, str]
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a command; what it prints is in files named after its number."""
        number = len(self.started)
        with (
            self._file(number, "out").open("wb") as out,
            self._file(number, "err").open("wb") as err,
        ):
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                env=self.env | env,
                cwd=self.folder,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes], code: int = 0) -> tuple[str, str]:
        """Return what a command printed, once it has ended with this code."""
        found = process.wait(150)
        number = self.started.index(process)
        out, err = (self._file(number, kind).read_text() for kind in ("out", "err"))
        assert found == code, err
        return out, err

    def run(self, *arguments: str, code: int = 0, **env: str) -> tuple[str, str]:
        """Start a command, and wait for its end."""
        return self.end(self.start(*arguments, **env), code)

    def _file(self, number: int, kind: str) -> Path:
        return self.folder / f"command-{number}.{kind}"


@contextmanager
def shell_in(folder: Path, stack: Stack, emulator: Emulator) -> Iterator[Shell]:
    """Run commands in a folder while the block runs, on this server and with this API."""
    env = {**stack.env, **emulator.environment(), "COLUMNS": "200"}
    env |= {"MESHFLOW_SPOOL": str(folder / "spools")}
    env |= {"PREFECT_LOCAL_STORAGE_PATH": str(folder / "storage")}
    shell = Shell(env, folder)
    try:
        yield shell
    finally:
        for process in shell.started:
            end_group(process)


def retrieved(emulator: Emulator) -> int:
    """Return how often a batch was asked for: a command that waits does so."""
    calls: dict[str, int] = emulator.state()["calls"]
    return calls.get("GET /v1/messages/batches/{id}", 0)
