"""A process puts its flow run to rest, to be started again later. The only room that knows how.

A suspended run has no process. Its states are `Running → Suspended → Resuming`, the last one
scheduled for the next check, because of what other orders of states and names do in Prefect:
`Running → Scheduled` straight uses up a retry, and a cancelled run in a scheduled state of another
name than `Resuming` stays in `Cancelling` for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from meshflow_prefect.activity import idle_seconds
from meshflow_prefect.errors import SuspensionError
from meshflow_prefect.lineage import Lineage
from meshflow_prefect.locks import AnyLoopLock

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, State

GRACE_SECONDS = (5.0, 30.0)
"""How long a process stays, at least and at most, after a wait has decided to suspend its run, so
that jobs which were started beside it (`asyncio.gather`) submit, or are checked, before the process
ends. In between it is as long as the process took to come to its first wait: on a machine that is
slow or busy, those beside it take as long. It may take as long to end, with its run at rest."""

QUIET_SECONDS = 2.0
"""How long none of its steps may have been under way by then: one step leads to the next."""


_BETWEEN = (
    "About to be scheduled for its next check. A run that stays in this state has lost its process "
    "in between, with the machine and the worker: `meshflow-prefect wake RUN` goes on with it."
)
"""Said of a state that lasts for the time of one call."""


_loaded_at = time.monotonic()


@cache
def _grace_seconds() -> float:
    """Return how long this process stays, and may take to end; decided at its first wait."""
    shortest, longest = GRACE_SECONDS
    return min(max(shortest, time.monotonic() - _loaded_at), longest)


def _soonest(staying: float = 0.0) -> datetime:
    """Return when a run may be resumed whose process leaves after so many seconds.

    A worker takes a run up some seconds ahead. One that has a limit ends with an error, and its
    runs with it, when the process that it has of this run is still there then.
    """
    from prefect.settings import get_current_settings

    ahead = get_current_settings().worker.prefetch_seconds
    return datetime.now(UTC) + timedelta(seconds=staying + _grace_seconds() + ahead)


class _Departure:
    """What the waits of one process have agreed on: one suspension, at the earliest next check.

    They may run in several threads, each with an event loop: tasks that are started with `submit`.
    """

    def __init__(self, wake: datetime) -> None:
        self.wake = wake
        self.leaves_at = time.monotonic() + _grace_seconds()
        self.lock = AnyLoopLock()
        self.state: State | None = None
        self._joined: set[object] = set()
        self._gates: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def join(self, wake: datetime) -> object:
        """Take part; the token returned says so until it is handed back."""
        token = object()
        self._joined.add(token)
        self.wake = min(self.wake, wake)
        return token

    def part(self, token: object) -> bool:
        """Take part no more, and open the gate if the others have only waited for this.

        Returns whether nobody takes part any more.
        """
        self._joined.discard(token)
        if not self._joined:
            for loop, gate in self._gates:
                loop.call_soon_threadsafe(gate.set)
        return not self._joined

    async def leave_together(self, token: object) -> None:
        """Return when all waits have come here: the first to leave takes the process with it."""
        gate = asyncio.Event()
        self._gates.append((asyncio.get_running_loop(), gate))
        self.part(token)
        await gate.wait()


_departures: dict[UUID, _Departure] = {}


def _forget(run_id: UUID, departure: _Departure) -> None:
    if _departures.get(run_id) is departure:
        del _departures[run_id]


async def suspend(prefect: PrefectClient, lineage: Lineage, wake: datetime, why: str) -> NoReturn:
    """Suspend the run of this process until `wake`, and leave the process.

    Raises `prefect.exceptions.Pause`, which ends the process, or `SuspensionError` where the
    orchestrator refuses.
    """
    from prefect.exceptions import Pause
    from prefect.logging import get_run_logger

    runs = lineage.in_this_process
    assert runs is not None  # noqa: S101  (for the type checker: the caller looked)
    *nested, own = runs
    wake = max(wake, _soonest(_grace_seconds()))
    get_run_logger().info(
        "Suspending run %r until %s: %s. Its process ends, and it is started again then. Prefect "
        "logs the lines 'Finished in state …' that follow as errors; none is one.",
        own.name,
        f"{wake:%H:%M:%S %Z}",
        why.rstrip("."),
    )
    departure = _departures.setdefault(own.id, _Departure(wake))
    token = departure.join(wake)
    try:
        # It is the time that this waits for, so there is no event to wait on.
        while time.monotonic() < departure.leaves_at or idle_seconds() < QUIET_SECONDS:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        async with departure.lock:
            # A run that is resumed, or waits on, in this same process departs anew.
            _forget(own.id, departure)
            if departure.state is None:
                departure.wake = max(departure.wake, _soonest())
                departure.state = await _rest(prefect, own, departure.wake)
        await _show_as_waiting(prefect, nested, why, departure.wake)
    except BaseException:
        # A wait that was cancelled (a timeout, say) leaves nobody behind who waits for it.
        if departure.part(token):
            _forget(own.id, departure)
        raise
    await departure.leave_together(token)
    raise Pause(state=departure.state)


async def _rest(prefect: PrefectClient, own: FlowRun, wake: datetime) -> State:
    """Put the run of this process to rest and have it resumed at `wake`."""
    from prefect.states import Paused, Scheduled, Suspended

    await _prepare_to_be_taken_up(prefect, own)
    # A pause key fires once; the default counter would repeat itself over several suspensions.
    key = uuid4().hex
    rests: State = (
        Suspended(pause_key=key, message=_BETWEEN)
        if own.parent_task_run_id is None
        # The server refuses to suspend a run that another run started. A pause of the same name
        # does the same for it: the timer below starts it again.
        else Paused(name="Suspended", pause_key=key, message=_BETWEEN)
    )
    await _accepted(prefect, own, rests)
    try:
        resumes = await _accepted(prefect, own, Scheduled(name="Resuming", scheduled_time=wake))
    except SuspensionError:
        found = (await prefect.read_flow_run(own.id)).state
        if found is None or not (found.is_final() or found.is_cancelling()):
            raise
        # Cancelled between the two calls: there is nothing to wait for any more.
        return found
    await remain_one_attempt(prefect, own)
    return resumes


async def _prepare_to_be_taken_up(prefect: PrefectClient, own: FlowRun) -> None:
    # Prefect notes of a flow that has failed, and is to be tried again, that its process does so;
    # it never takes the note back, and gives no worker a run that has it.
    if own.empirical_policy.retry_type == "in_process":
        policy = (await prefect.read_flow_run(own.id)).empirical_policy
        taken_back = policy.model_copy(update={"retry_type": None})
        await prefect.update_flow_run(own.id, empirical_policy=taken_back)


async def remain_one_attempt(prefect: PrefectClient, own: FlowRun) -> None:
    """Have a run that was paused, and is scheduled, go on without using up a retry.

    Prefect 3.9 begins a new attempt of it, unlike 3.8. Only runs that another flow started are
    paused; others are suspended, which both of them take for the same attempt.
    """
    if own.parent_task_run_id is None:
        return
    policy = (await prefect.read_flow_run(own.id)).empirical_policy
    if not policy.resuming:
        goes_on = policy.model_copy(update={"resuming": True, "retry_type": None})
        await prefect.update_flow_run(own.id, empirical_policy=goes_on)


async def _accepted(prefect: PrefectClient, run: FlowRun, state: State) -> State:
    answer = await prefect.set_flow_run_state(run.id, state)
    if answer.status != "ACCEPT" or answer.state is None:
        found = (await prefect.read_flow_run(run.id)).state
        if found is not None and _is_same(found, state):
            # The answer to a first call was lost, and Prefect's client has asked again.
            return found
        reason = getattr(answer.details, "reason", None) or answer.status
        raise SuspensionError(f"Run {run.name!r} cannot enter {state.name}: {reason}.")
    return answer.state


def _is_same(found: State, wanted: State) -> bool:
    ours, theirs = wanted.state_details, found.state_details
    return (found.type, found.name, theirs.pause_key, theirs.scheduled_time) == (
        wanted.type,
        wanted.name,
        ours.pause_key,
        ours.scheduled_time,
    )


async def _show_as_waiting(
    prefect: PrefectClient, nested: Sequence[FlowRun], why: str, wake: datetime
) -> None:
    """Say how this check ended. Left in Running, what departs with the process looks alive."""
    import httpx
    from prefect.context import TaskRunContext
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Completed, Paused

    for run in nested:
        waits: State = Paused(name="Suspended", pause_key=uuid4().hex)
        await prefect.set_flow_run_state(run.id, waits, force=True)
    if (context := TaskRunContext.get()) is not None:
        seen = f"{why}; next check at {wake:%H:%M:%S %Z}"
        checked: State = Completed(name="Checked", message=seen)
        # The server records task runs from events, a moment late: before that there is none to
        # update. Then only a line in the UI is wrong, which must not end the wait.
        with contextlib.suppress(ObjectNotFound, httpx.HTTPError):
            await prefect.set_task_run_state(context.task_run.id, checked, force=True)
