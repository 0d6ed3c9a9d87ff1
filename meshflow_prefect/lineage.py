"""Where in Prefect this code runs: the current flow run and the runs above it, up to the root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun


@dataclass(frozen=True)
class Lineage:
    """The runs from the current flow run (first) up to the root (last)."""

    runs: tuple[FlowRun, ...]
    call_site: str
    """Names the place in the parent that called the current run. A fresh run of the same call,
    made after a failure, has the same; empty where Prefect numbers the call at random, as it does
    for a subflow that is called inside a task."""

    @property
    def current(self) -> FlowRun:
        """The flow run that this code belongs to."""
        return self.runs[0]

    @property
    def root(self) -> FlowRun:
        """The topmost run. What belongs to one job is kept on it, since it outlives the others."""
        return self.runs[-1]

    @property
    def parent_id(self) -> str:
        """Id of the run that called the current one, or empty."""
        return str(self.runs[1].id) if len(self.runs) > 1 else ""

    @property
    def in_this_process(self) -> tuple[FlowRun, ...] | None:
        """The runs up to the nearest one with a deployment, whose process this is.

        None where no run has a deployment: then nothing could start the process again. Runs above
        the nearest deployed one live in processes of their own and must not be touched.
        """
        for position, run in enumerate(self.runs):
            if run.deployment_id is not None:
                return self.runs[: position + 1]
        return None


async def read_lineage(client: PrefectClient) -> Lineage | None:
    """Ask the Prefect API for the current run's lineage; None outside of a flow run."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    # What the context holds was read when the run started; labels and states have moved since.
    runs = [await client.read_flow_run(context.flow_run.id)]
    call_site = str(runs[0].id)
    while (calling_task_id := runs[-1].parent_task_run_id) is not None:
        calling_task = await client.read_task_run(calling_task_id)
        if len(runs) == 1:
            call_site = str(calling_task_id) if calling_task.dynamic_key.isdigit() else ""
        parent_id: UUID | None = calling_task.flow_run_id
        if parent_id is None:
            break
        runs.append(await client.read_flow_run(parent_id))
    return Lineage(tuple(runs), call_site)
