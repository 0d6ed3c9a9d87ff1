"""One run, killed at random moments, and what came of it."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from prefect.client.schemas.objects import FlowRun

from tests.faults.outcome import Outcome, outcome_of
from tests.support.bystander import Bystander, CalledOff
from tests.support.killing import executing, kill_run, kill_worker
from tests.support.rig import Rig

REQUESTS = 7
WINDOWS = {"process": 12.0, "flow": 8.0}
"""From what a moment is counted, and among how many seconds it is drawn. From the process: while it
imports as well. From the flow's first line: its calls, and, of a worker or a server, the time when
the run is suspended."""
WEIGHTS = {"process": 1, "flow": 3}
KINDS = {"process": 8, "worker": 1, "server": 1}
"""What is killed, and how often in ten."""
HASTE = 0.25
"""How many of the runs are brought back in haste, which may start two processes of one at once."""
BETWEEN_LOOKS = 0.1
MOST = 4
"""Kills of one run."""


@dataclass(frozen=True)
class Hit:
    """One kill: what, when, and what it hit."""

    kind: str
    since: str
    after: float
    state: str
    facts: str

    def __str__(self) -> str:
        when = f"{self.after:.1f} s after {self.since} start"
        return f"{self.kind} {when} in {self.state} ({self.facts})"


@dataclass
class Report:
    """One run."""

    number: int
    run_id: str = ""
    hits: list[Hit] = field(default_factory=list)
    outcome: Outcome | None = None
    hasty: bool = False
    seen: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    def __str__(self) -> str:
        came = "no outcome" if self.outcome is None else self.outcome.state
        created, lost = (
            (0, 0) if self.outcome is None else (self.outcome.created, self.outcome.lost)
        )
        line = f"run {self.number}: {came}, batches created {created}, rows lost {lost}"
        line += f", {self.seconds:.0f} s, {len(self.hits)} kills: "
        line += "; ".join(str(hit) for hit in self.hits)
        line += f". Seen{' in haste' if self.hasty else ''}: {', '.join(self.seen) or '-'}."
        if self.failures:
            line += f" Failed and retried: {self.failures}."
        return line + (f"\n  VIOLATION: {self.problem}" if self.problem else "")


class Hunt:
    """Hunts one run after the other on one rig."""

    def __init__(self, rig: Rig, called_off: threading.Event) -> None:
        self._rig = rig
        self._called_off = called_off
        self._seen: set[int] = set()

    def run(self, number: int, rng: random.Random, kills: int) -> Report:
        """Start a run, kill it so often unless it ends sooner, and see it to its end."""
        report, began = Report(number), time.monotonic()
        report.run_id = self._rig.start(count=REQUESTS)
        bystander = Bystander(
            self._rig.stack,
            report.run_id,
            report.seen,
            report.failures,
            hasty=rng.random() < HASTE,
            called_off=self._called_off,
        )
        report.hasty = bystander.hasty
        try:
            while len(report.hits) < kills and self._next_process(bystander):
                kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
                since = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                hit = self._hit(report.run_id, kind, since, rng.uniform(0, WINDOWS[since]))
                report.hits += [hit] if hit is not None else []
            self._judge(report, bystander.see_to_the_end(300))
        except CalledOff:
            raise
        except Exception as error:  # noqa: BLE001  (one run's, and a hunt is long)
            report.problem = f"{type(error).__name__}: {error}"
        report.seconds = time.monotonic() - began
        return report

    def _judge(self, report: Report, run: FlowRun) -> None:
        report.outcome = outcome_of(self._rig, run, REQUESTS)
        if report.outcome.problems:
            log = self._rig.stack.home / f"run-{report.number}.log"
            log.write_text(self._rig.stack.logs(report.run_id))
            report.problem = "; ".join(report.outcome.problems) + f" See {log}"

    def _next_process(self, bystander: Bystander) -> bool:
        """Wait until the run has a process that is not known yet; False when it has ended."""
        while bystander.look() is None:
            found = executing(bystander.run_id)
            is_new = bool(found) and not found & self._seen
            self._seen |= found
            if is_new:
                return True
            time.sleep(BETWEEN_LOOKS)
        return False

    def _hit(self, run_id: str, kind: str, since: str, after: float) -> Hit | None:
        """Kill at the moment; None when there was nothing left to kill."""
        if since == "flow" and not self._flow_starts(run_id):
            return None
        moment = time.monotonic() + after
        while time.monotonic() < moment:
            if not self._lives(run_id) and kind == "process":
                return None
            time.sleep(BETWEEN_LOOKS)
        state = self._rig.stack.read(run_id).state
        assert state is not None
        if state.is_final():
            return None
        if kind == "process":
            if not kill_run(run_id):
                return None
        elif kind == "worker":
            kill_worker(self._rig.worker, run_id)
            self._rig.start_worker()
        else:
            self._rig.restart_server()
        return Hit(kind, since, after, str(state.name), self._rig.facts(run_id))

    def _flow_starts(self, run_id: str) -> bool:
        """Wait until this process of the run has come to the flow; False when it ends before."""
        known = len(self._rig.notes(run_id, "start"))
        while len(self._rig.notes(run_id, "start")) == known:
            if not self._lives(run_id):
                return False
            time.sleep(BETWEEN_LOOKS)
        return True

    def _lives(self, run_id: str) -> bool:
        found = executing(run_id)
        self._seen |= found
        return bool(found)
