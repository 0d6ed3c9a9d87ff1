"""All that a run goes through: Prefect server, worker and emulator, each to be broken at will."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from meshflow_prefect.emulator import Emulator
from tests.support.killing import kill, processes_running
from tests.support.processes import processes_with, running, wait_until
from tests.support.stack import Stack, prefect_stack
from tests.support.tripwire import Tripwire, tripwire

KEY = "sk-ant-key-of-the-killed-0123456789"
BATCH_SECONDS = 8
_SERVER = ("server", "start")


@dataclass
class Rig:
    """A running stack with the flow of `tests/deployed/killed.py`, for one run at a time."""

    stack: Stack
    emulator: Emulator
    wires: dict[str, Tripwire]
    """The tripwires in front of `prefect` and `anthropic`; none when the worker calls directly."""
    deployment: UUID
    _resources: ExitStack
    _workers: int = 0
    worker: subprocess.Popen[bytes] = field(init=False)

    @property
    def mark(self) -> str:
        """What every process of this rig has in its environment."""
        return f"MESHFLOW_TEST_NOTES={self.stack.env['MESHFLOW_TEST_NOTES']}"

    def start_worker(self) -> None:
        """Start a worker: the first one, or a new one where the last was killed."""
        env = {}
        if self.wires:
            env["PREFECT_API_URL"] = self.wires["prefect"].url
            env["ANTHROPIC_BASE_URL"] = self.wires["anthropic"].url
        self._workers += 1
        self.worker = self._resources.enter_context(
            self.stack.worker(f"worker-{self._workers}", limit=None, **env)
        )

    def restart_server(self) -> None:
        """Stop the Prefect server, and start it on the same port with the same database."""
        (server,) = processes_running(_SERVER, self.mark)
        command = Path(f"/proc/{server}/cmdline").read_text().split("\0")[:-1]
        kill(server)
        wait_until(lambda: not processes_running(_SERVER, self.mark), "the server is gone")
        log = self.stack.home / "server.log"
        self._resources.enter_context(running(command, env=self.stack.env, log=log))
        wait_until(self._answers, "the Prefect server answers again")

    def _answers(self) -> bool:
        with self.stack.client as client:
            return client.api_healthcheck() is None

    def start(self, **parameters: Any) -> str:
        """Start the flow, with an emulator as new, and return the run's id."""
        self.emulator.reset()
        return self.stack.start(self.deployment, **parameters)

    def notes(self, run_id: str, step: str) -> list[dict[str, Any]]:
        """Return what the flow noted at a step, oldest first."""
        path = Path(self.stack.env["MESHFLOW_TEST_NOTES"])
        lines = path.read_text().splitlines() if path.exists() else []
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if note["run"] == run_id and note["step"] == step]

    def facts(self, run_id: str) -> str:
        """Say what is recorded of the run's batch, in the ledger and at Anthropic."""
        counts = {}
        with self.stack.client as client:
            for kind in ("intent", "batch"):
                rows = client.filter_flow_run_input(
                    UUID(run_id), key_prefix=f"meshflow-{kind}-", limit=200, exclude_keys=set()
                )
                counts[kind] = len(rows)
        made = ", ".join(batch["status"] for batch in self.emulator.batches()) or "nothing"
        return f"ledger {counts['intent']} intent {counts['batch']} batch, Anthropic {made}"


@contextmanager
def rigged(home: Path, *, wired: bool) -> Iterator[Rig]:
    """Run all of it while the block runs; no process of it is left behind.

    With `wired` the worker, and so the runs, talk to the servers through tripwires. Without, what
    they meet when a server is down is what they meet in earnest: a refused connection.
    """
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    notes = home / "notes.jsonl"
    try:
        with ExitStack() as resources:
            emulator = resources.enter_context(Emulator(batch_seconds=BATCH_SECONDS))
            env = {**emulator.environment(), "ANTHROPIC_API_KEY": KEY}
            # What the killed leave behind in the temporary directory goes with the home.
            env |= {"MESHFLOW_TEST_NOTES": str(notes), "TMPDIR": str(temporary)}
            stack = resources.enter_context(prefect_stack(home, env))
            wires = {}
            if wired:
                wires["prefect"] = resources.enter_context(tripwire(stack.api_url))
                wires["anthropic"] = resources.enter_context(tripwire(emulator.base_url))
            deployment = stack.deploy("killed.py:killed")
            rig = Rig(stack, emulator, wires, deployment, resources)
            rig.start_worker()
            yield rig
    finally:
        # A killed worker ends none of its children, and they are in no group of ours.
        kill(*processes_with(f"MESHFLOW_TEST_NOTES={notes}"))
