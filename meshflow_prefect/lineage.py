"""Where in Prefect this code runs: the current flow run and the runs above it, up to the root."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun


TAG = "meshflow"
"""Tag of the flow runs that have submitted, or were about to."""


_known: dict[int, Lineage] = {}
"""The lineages of the flow runs that this process is in the middle of, by the id of the context."""


@dataclass(frozen=True)
class Lineage:
    """The runs from the current flow run (first) up to the root (last)."""

    runs: tuple[FlowRun, ...]
    call_site: str
    """Names the place in the parent that called the current run. A fresh run of the same call,
    made after a failure, has the same. Empty where that cannot be told: Prefect numbers a subflow
    that is called inside a task at random, and the runs of deployments that a flow starts from 0
    again at each replay, whichever of them it starts."""

    @property
    def current(self) -> FlowRun:
        """The flow run that this code belongs to."""
        return self.runs[0]

    @property
    def root(self) -> FlowRun:
        """The topmost run. What belongs to one job is kept on it, since it outlives the others."""
        return self.runs[-1]

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


_processes_of_others: set[int] = set()
"""This process, by its id, where it is one: a fork of it begins with what it has noted."""


def works_for_another() -> bool:
    """Whether this process executes tasks of a flow that runs in another one.

    So it is with `ProcessPoolTaskRunner`, and its kin. What is called in a task has a context of
    its own, which does not say so: flows ask when they are called.
    """
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is not None and context.detached:
        _processes_of_others.add(os.getpid())
    return os.getpid() in _processes_of_others


async def read_lineage(client: PrefectClient) -> Lineage | None:
    """Return the current run's lineage; None outside of a flow run.

    The Prefect API is asked once for each attempt of a flow run: all steps of it have the same
    runs above them, in the attempts in which those are.
    """
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    if (known := _known.get(id(context))) is not None:
        return replace(known)  # a submission tells by its own what it has claimed
    lineage = await lineage_of(client, context.flow_run.id)
    # Prefect makes a context for each attempt. It cannot be a key itself: it has no hash.
    weakref.finalize(context, _known.pop, id(context), None)
    _known[id(context)] = lineage
    return lineage


async def lineage_of(client: PrefectClient, run_id: UUID) -> Lineage:
    """Ask the Prefect API for the lineage of a run, as it is now."""
    runs = [await client.read_flow_run(run_id)]
    call_site = str(runs[0].id)
    while (calling_task_id := runs[-1].parent_task_run_id) is not None:
        calling_task = await client.read_task_run(calling_task_id)
        if len(runs) == 1:
            is_told = calling_task.dynamic_key.isdigit() and runs[0].deployment_id is None
            call_site = str(calling_task_id) if is_told else ""
        parent_id: UUID | None = calling_task.flow_run_id
        if parent_id is None:
            break
        runs.append(await client.read_flow_run(parent_id))
    return Lineage(tuple(runs), call_site)


async def mark(client: PrefectClient, lineage: Lineage) -> None:
    """Give the runs the tag by which they, and their ledgers, are found."""
    for run in lineage.runs:
        if TAG not in run.tags:
            await client.update_flow_run(run.id, tags=[*run.tags, TAG])
            run.tags.append(TAG)
