"""How a Prefect run waits: suspended where it can be started again, else asleep in its process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
from prefect.exceptions import PrefectException

from meshflow_prefect.activity import busy
from meshflow_prefect.errors import RunCancelledError, SuspensionError
from meshflow_prefect.lineage import Lineage, read_lineage, works_for_another
from meshflow_prefect.suspension import suspend

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from meshflow_prefect.progress import Watch

_STATE_SECONDS = 2.0
"""How often, at most, a run that sleeps in its process looks whether it was cancelled."""


class Resting:
    """How the current run waits: suspended where it can be started again, else in its process."""

    def __init__(
        self, prefect: PrefectClient, lineage: Lineage | None, display: contextlib.ExitStack
    ) -> None:
        self.prefect = prefect
        self.lineage = lineage
        """Where this code runs; None outside of a flow run."""
        # The process of a flow would not hear that another one has suspended its run.
        is_own = lineage is not None and lineage.in_this_process is not None
        self.suspends = is_own and not works_for_another()
        self._display = display
        self._watch: Watch | None = None
        self._looked_at = time.monotonic()

    async def until(self, wake: datetime, why: str) -> None:
        """Wait until `wake`. Where the run can be suspended this does not return.

        Raises `prefect.exceptions.Pause`, with which the process ends; the run is started again
        at `wake`, and the code that called this is run anew.
        """
        if self.suspends and self.lineage is not None:
            try:
                await suspend(self.prefect, self.lineage, wake, why)
            except SuspensionError as refused:
                from prefect.logging import get_run_logger

                get_run_logger().warning("%s Waiting in this process instead.", refused)
                self.suspends = False
        await self.here_until(wake, why)

    async def here_until(self, wake: datetime, why: str) -> None:
        """Sleep in this process until `wake`, and show why.

        Raises `RunCancelledError` when the run is found cancelled afterwards.
        """
        if self._watch is None:
            from meshflow_prefect.progress import watching

            self._watch = self._display.enter_context(watching())
        self._watch(why, wake)
        await asyncio.sleep(max(0.0, (wake - datetime.now(UTC)).total_seconds()))
        if time.monotonic() - self._looked_at >= _STATE_SECONDS:
            self._looked_at = time.monotonic()
            await self._stop_if_cancelled()

    async def _stop_if_cancelled(self) -> None:
        # No worker ends the process of a run that was called directly. Nor does one say that it has
        # ended: the server writes Cancelled some minutes after Cancelling.
        for run in self.lineage.runs if self.lineage is not None else ():
            try:
                state = (await self.prefect.read_flow_run(run.id)).state
            except (httpx.HTTPError, PrefectException):
                return  # the Prefect server is away; the wait does not depend on it
            if state is not None and (state.is_cancelling() or state.is_cancelled()):
                raise RunCancelledError(f"Run {run.name!r} was cancelled.", run_id=str(run.id))


@contextlib.asynccontextmanager
async def resting() -> AsyncIterator[Resting]:
    """Find out how the current run can wait."""
    from prefect import get_client

    async with get_client() as prefect:
        with busy():
            lineage = await read_lineage(prefect)
        with contextlib.ExitStack() as display:
            yield Resting(prefect, lineage, display)
