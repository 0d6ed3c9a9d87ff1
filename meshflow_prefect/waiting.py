"""The wait for a batch in a Prefect run. The only room that knows suspension.

The run is suspended where the orchestrator can start it again; elsewhere it sleeps in its process.
A suspended run has no process. Its states are `Running → Suspended → Resuming`, the last one
scheduled for the next check, because of what other orders of states and names do in Prefect:
`Running → Scheduled` straight uses up a retry, and a cancelled run in a scheduled state of another
name than `Resuming` stays in `Cancelling` for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from meshflow_prefect.activity import busy, idle_seconds
from meshflow_prefect.errors import SuspensionError
from meshflow_prefect.lineage import Lineage, read_lineage
from meshflow_prefect.locks import AnyLoopLock
from meshflow_prefect.models import BatchJob
from meshflow_prefect.polling import check_schedule, next_check, poll_until_ended

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, State

GRACE_SECONDS = 5.0
"""How long a process stays after a wait has decided to suspend its run, so that jobs which were
started beside it (`asyncio.gather`) submit, or are checked, before the process ends."""

QUIET_SECONDS = 1.0
"""How long none of its steps may have been under way by then: one step leads to the next."""


async def wait_until_ended(
    check: Callable[[], Awaitable[BatchJob]], *, poll_interval: float, wait_fraction: float
) -> BatchJob:
    """Return the batch once it has ended.

    In a run with a deployment, checks once; when the batch is not ended, suspends the run whose
    process this is and ends the process: this call then does not return, and is made again when
    the run is resumed. Elsewhere, sleeps in the process and shows its progress.
    """
    from prefect import get_client

    check_schedule(poll_interval, wait_fraction)
    async with get_client() as prefect:
        with busy():
            lineage = await read_lineage(prefect)
            can_suspend = lineage is not None and lineage.in_this_process is not None
            job = await check() if can_suspend else None
        if lineage is None or job is None:
            return await _sleep_until_ended(check, poll_interval)
        if job.is_complete:
            return job
        wake = next_check(job, poll_interval=poll_interval, wait_fraction=wait_fraction)
        try:
            await _suspend(prefect, lineage, wake, job)
        except SuspensionError as refused:
            from prefect.logging import get_run_logger

            get_run_logger().warning("%s Waiting in this process instead.", refused)
            return await _sleep_until_ended(check, poll_interval)


async def _sleep_until_ended(
    check: Callable[[], Awaitable[BatchJob]], poll_interval: float
) -> BatchJob:
    from meshflow_prefect.progress import watching

    with watching() as watch:
        return await poll_until_ended(check, poll_interval=poll_interval, timeout=None, watch=watch)


class _Departure:
    """What the waits of one process have agreed on: one suspension, at the earliest next check.

    They may run in several threads, each with an event loop: tasks that are started with `submit`.
    """

    def __init__(self, wake: datetime) -> None:
        self.wake = wake
        self.leaves_at = time.monotonic() + GRACE_SECONDS
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

    def part(self, token: object) -> None:
        """Take part no more, and open the gate if the others have only waited for this."""
        self._joined.discard(token)
        if not self._joined:
            for loop, gate in self._gates:
                loop.call_soon_threadsafe(gate.set)

    async def leave_together(self, token: object) -> None:
        """Return when all waits have come here: the first to leave takes the process with it."""
        gate = asyncio.Event()
        self._gates.append((asyncio.get_running_loop(), gate))
        self.part(token)
        await gate.wait()


_departures: dict[UUID, _Departure] = {}


async def _suspend(
    prefect: PrefectClient, lineage: Lineage, wake: datetime, job: BatchJob
) -> NoReturn:
    """Suspend the run of this process until `wake`, and leave the process."""
    from prefect.exceptions import Pause
    from prefect.logging import get_run_logger

    runs = lineage.in_this_process
    assert runs is not None  # noqa: S101  (for the type checker: the caller looked)
    *nested, own = runs
    get_run_logger().info(
        "Batch %s is %s. Suspending run %r until %s: its process ends, and it is started again "
        "then. Prefect logs the lines 'Finished in state …' that follow as errors; none is one.",
        job.batch_id,
        job.status.replace("_", " "),
        own.name,
        f"{wake:%H:%M:%S %Z}",
    )
    departure = _departures.setdefault(own.id, _Departure(wake))
    token = departure.join(wake)
    # It is the time that this waits for, so there is no event to wait on.
    while time.monotonic() < departure.leaves_at or idle_seconds() < QUIET_SECONDS:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    async with departure.lock:
        # A run that is resumed, or waits on, in this same process departs anew.
        _departures.pop(own.id, None)
        if departure.state is None:
            try:
                departure.state = await _rest(prefect, own, departure.wake)
            except SuspensionError:
                departure.part(token)
                raise
    await _show_as_waiting(prefect, nested, job, departure.wake)
    await departure.leave_together(token)
    raise Pause(state=departure.state)


async def _rest(prefect: PrefectClient, own: FlowRun, wake: datetime) -> State:
    """Put the run of this process to rest and have it resumed at `wake`."""
    from prefect.states import Paused, Scheduled, Suspended

    # A pause key fires once; the default counter would repeat itself over several suspensions.
    key = uuid4().hex
    rests: State = (
        Suspended(pause_key=key)
        if own.parent_task_run_id is None
        # The server refuses to suspend a run that another run started. A pause of the same name
        # does the same for it: the timer below starts it again.
        else Paused(name="Suspended", pause_key=key)
    )
    await _accepted(prefect, own, rests)
    try:
        return await _accepted(prefect, own, Scheduled(name="Resuming", scheduled_time=wake))
    except SuspensionError:
        found = (await prefect.read_flow_run(own.id)).state
        if found is None or not (found.is_final() or found.is_cancelling()):
            raise
        # Cancelled between the two calls: there is nothing to wait for any more.
        return found


async def _accepted(prefect: PrefectClient, run: FlowRun, state: State) -> State:
    answer = await prefect.set_flow_run_state(run.id, state)
    if answer.status != "ACCEPT" or answer.state is None:
        reason = getattr(answer.details, "reason", None) or answer.status
        raise SuspensionError(f"Run {run.name!r} cannot enter {state.name}: {reason}.")
    return answer.state


async def _show_as_waiting(
    prefect: PrefectClient, nested: Sequence[FlowRun], job: BatchJob, wake: datetime
) -> None:
    """Say how this check ended. Left in Running, what departs with the process looks alive."""
    from prefect.context import TaskRunContext
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Completed, Paused

    for run in nested:
        waits: State = Paused(name="Suspended", pause_key=uuid4().hex)
        await prefect.set_flow_run_state(run.id, waits, force=True)
    if (context := TaskRunContext.get()) is not None:
        seen = f"{job.batch_id} was {job.status}; next check at {wake:%H:%M:%S %Z}"
        checked: State = Completed(name="Checked", message=seen)
        # The server records task runs from events, a moment late: before that there is none to
        # update. Then only a line in the UI is wrong, which must not end the wait.
        with contextlib.suppress(ObjectNotFound):
            await prefect.set_task_run_state(context.task_run.id, checked, force=True)
