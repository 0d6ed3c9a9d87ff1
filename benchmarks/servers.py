"""The two servers that every run talks to, and what they have counted."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import cpu_of, cpu_of_machine
from meshflow_prefect.emulator import EmulatorClient
from tests.support.processes import free_port, running, wait_until
from tests.support.stack import Stack, prefect_stack

BATCH_SECONDS = 1.0
_EMULATOR = """
from pathlib import Path
from meshflow_prefect.emulator import EmulatorSettings, serve
serve(EmulatorSettings(port={port}, batch_seconds={seconds}, reply_words={words},
                       directory=Path({directory!r})))
"""
_CALL = re.compile(rb'"([A-Z]+) (/api/\S+) HTTP/1')
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass
class Counts:
    """What the servers did in the meantime."""

    emulator_cpu: float = 0.0
    """Seconds of CPU."""

    server_cpu: float = 0.0
    """Seconds of CPU of the Prefect server."""

    machine_cpu: float = 0.0
    """Seconds of CPU of all processes of the machine."""

    batches: int = 0
    task_runs: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    """HTTP requests that reached the Prefect API, by what they ask."""


@dataclass(frozen=True)
class Servers:
    """An emulator and a Prefect server, processes of their own."""

    emulator: EmulatorClient
    emulator_process: int
    stack: Stack
    home: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment in which a contestant talks to both."""
        return self.stack.env | {"TMPDIR": str(self.home)}

    @contextmanager
    def counting(self, *, prefect: bool) -> Iterator[Counts]:
        """Yield what is filled in when the block has ended; the emulator is as new before it.

        `prefect` says whether there can be task runs, which take a while to count.
        """
        counts = Counts()
        self.emulator.reset()
        task_runs = self._task_runs() if prefect else 0
        calls, cpu = self._calls(), self._cpu()
        yield counts
        now = self._cpu()
        counts.emulator_cpu, counts.server_cpu, counts.machine_cpu = (
            after - before for after, before in zip(now, cpu, strict=True)
        )
        counts.calls = self._calls() - calls
        counts.batches = self.emulator.state()["batches"]
        counts.task_runs = self._task_runs() - task_runs if prefect else 0

    def _cpu(self) -> tuple[float, float, float]:
        return (
            cpu_of(self.emulator_process),
            cpu_of(self.stack.server_process),
            cpu_of_machine(),
        )

    def _calls(self) -> Counter[str]:
        log = (self.home / "server.log").read_bytes()
        found = [(method.decode(), path.decode()) for method, path in _CALL.findall(log)]
        return Counter(f"{m} {_ID.sub('{id}', path.partition('?')[0])}" for m, path in found)

    def _task_runs(self) -> int:
        """Count them once all have been recorded, which Prefect does after the fact."""
        found = -1
        with self.stack.client as client:
            while (now := int(client.request("POST", "/task_runs/count", json={}).text)) != found:
                found = now
                time.sleep(1.0)
        return found


@contextmanager
def servers(home: Path, *, reply_words: int) -> Iterator[Servers]:
    """Run both while the block runs; everything they keep is below `home`."""
    port = free_port()
    emulator = EmulatorClient(f"http://127.0.0.1:{port}")
    code = _EMULATOR.format(
        port=port, seconds=BATCH_SECONDS, words=reply_words, directory=str(home / "emulator")
    )

    def answers() -> bool:
        try:
            return bool(emulator.state())
        except OSError:
            return False

    # At this level the server writes a line for each request that it answers.
    env = emulator.environment() | {"PREFECT_SERVER_LOGGING_LEVEL": "INFO"}
    command = [sys.executable, "-c", code]
    with (
        running(command, env=os.environ, log=home / "emulator.log") as process,
        prefect_stack(home, env) as stack,
    ):
        wait_until(answers, "the emulator answers")
        yield Servers(emulator, process.pid, stack, home)
