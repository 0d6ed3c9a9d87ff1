"""What somebody does who looks at the UI while runs are killed: waits, or presses the one button.

A run that the orchestrator brings back by itself is left alone.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Crashed, Scheduled

from tests.support.processes import processes_of_run, wait_until
from tests.support.stack import Stack

SETTLED = 3.0
"""How long a run stands in Crashed, with no process of its hooks either, before Retry is pressed.

A worker reports one crash twice: when the process has ended, and when the hooks have, some seconds
later. A Retry in between is answered by the second report: the run is Crashed again while its new
process lives, and another Retry makes it two processes at once. Only who is `hasty` does that."""

ABANDONED = 30.0
"""How long a run may stand in Running or Pending without a process before it counts as dead.
The worker reports a killed process within seconds; of a run whose worker was killed nobody does."""

FORGOTTEN = 10.0
"""How long a run may stand in Suspended: nothing is scheduled that would end it."""

_LAST_TRIES = 3
"""How often a run that failed, which is not what a kill does, is retried."""

_FINAL = ("COMPLETED", "CANCELLED")
_AT_WORK = ("PENDING", "RUNNING")


class CalledOff(Exception):  # noqa: N818  (no error: somebody pressed Ctrl-C)
    """There is nothing to look after any more."""


@dataclass
class Bystander:
    """Looks after one run."""

    stack: Stack
    run_id: str
    seen: list[str] = field(default_factory=list)
    """Each state that asked for a button, and the button."""
    failures: list[str] = field(default_factory=list)
    """The messages of the Failed states among them."""
    hasty: bool = False
    """Presses Retry at once, as an automation does; see `SETTLED`."""
    called_off: threading.Event = field(default_factory=threading.Event)
    """Ends the next look with `CalledOff`."""
    _stands: tuple[str, float] = ("", 0.0)

    def look(self) -> FlowRun | None:
        """Look once, and press what there is to press; the run once it has ended for good."""
        if self.called_off.is_set():
            raise CalledOff
        try:
            run = self.stack.read(self.run_id)
        except httpx.HTTPError:
            return None  # a server under load, or just started: the next look will tell
        state = run.state
        assert state is not None
        if state.type.value in _FINAL:
            return run
        if state.type.value == "CRASHED":
            if self.hasty or self._stands_without_process(state, SETTLED):
                self._press_retry("Crashed")
        elif state.type.value == "FAILED":
            # It is final for the product: to press Retry would not send what may be sent already.
            if "SubmissionUnknownError" in str(state.message) or len(self.failures) == _LAST_TRIES:
                return run
            self.failures.append(str(state.message))
            self._press_retry("Failed")
        elif state.type.value == "PAUSED" and self._stands_without_process(state, FORGOTTEN):
            self.seen.append(f"{state.name}: Resume")
            with self.stack.client as client:
                client.resume_flow_run(UUID(self.run_id))
        elif state.type.value in _AT_WORK and self._stands_without_process(state, ABANDONED):
            # What an automation on missed heartbeats does: see Prefect's docs on zombie flows.
            self._set(Crashed(message="No process."))
            self._press_retry(f"{state.name} without a process")
        return None

    def see_to_the_end(self, limit: float) -> FlowRun:
        """Look until the run has ended for good, and return it."""
        try:
            return wait_until(self.look, f"run {self.run_id} ends", limit=limit)
        except AssertionError as error:
            states = [state.name for state in self.stack.states(self.run_id)]
            logs = self.stack.logs(self.run_id)
            raise AssertionError(f"{error}\n{states}\n{self.seen}\n{logs}") from None

    def _stands_without_process(self, state: State, seconds: float) -> bool:
        """Whether the run has been in this very state for so long, with no process all the time."""
        now = time.monotonic()
        mark = str(state.id)
        if self._stands[0] != mark or processes_of_run(self.run_id):
            self._stands = (mark, now)
        return now - self._stands[1] >= seconds

    def _press_retry(self, seen: str) -> None:
        self.seen.append(f"{seen}: Retry")
        # As the UI words it.
        self._set(Scheduled(name="AwaitingRetry", message="Retry from the UI"))

    def _set(self, state: State) -> None:
        with self.stack.client as client:
            client.set_flow_run_state(UUID(self.run_id), state, force=True)
