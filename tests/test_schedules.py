"""Deployments with schedules: their runs are made by the server, and overlap while they wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterStateType,
)
from prefect.client.schemas.filters import FlowRunFilterState as StateFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from meshflow_prefect.emulator import Emulator
from tests.support.pools import own_worker
from tests.support.processes import wait_until
from tests.support.stack import Stack

SCHEDULES = [
    # The interval is shorter than a run takes: the next one starts while this one is suspended.
    IntervalSchedule(interval=timedelta(seconds=20)),
    CronSchedule(cron="* * * * *"),
]


@pytest.fixture
def scheduled(stack: Stack) -> Iterator[UUID]:
    """A deployment of a pipeline with two schedules, and nothing of it left afterwards.

    It has a worker and an API of its own: runs go on being made while the test ends.
    """
    with Emulator(batch_seconds=8) as emulator, own_worker(stack, "scheduled", emulator):
        deployment = stack.deploy(
            "pipelines.py:pipeline",
            name="scheduled",
            parameters={"count": 3},
            schedules=[DeploymentScheduleCreate(schedule=each, active=True) for each in SCHEDULES],
        )
        yield deployment
        with stack.client as client:
            client.delete_deployment(deployment)


def test_each_run_of_a_schedule_is_a_job_of_its_own(scheduled, stack, notes):
    """Even where the runs ask the same: what one has paid for is not another's."""

    def some_completed() -> list[FlowRun] | None:
        with stack.client as client:
            runs = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    state=StateFilter(
                        type=FlowRunFilterStateType(any_=[StateType.COMPLETED]),
                    )
                ),
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[scheduled])),
            )
        return runs if len(runs) >= 3 else None

    runs = wait_until(some_completed, "three runs of the schedules have completed", limit=420.0)

    assert all(run.auto_scheduled and run.run_count == 1 for run in runs)
    messages = set()
    for run in runs:
        assert "Suspended" in [state.name for state in stack.states(str(run.id))]
        (loaded,) = notes(str(run.id), "load")
        messages.add(loaded["rows"][0]["message"]["id"])
        assert [row["custom_id"].rpartition("-")[0] for row in loaded["rows"]] == [
            f"task-{position}" for position in range(3)
        ]
    assert len(messages) == len(runs)
