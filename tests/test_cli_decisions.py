"""`submissions`, `adopt` and `resubmit`: what a person sees and decides of a run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from prefect import flow, get_client, task
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run
from prefect.states import Paused, Pending, Running

from meshflow_prefect import batch_agent_tasks
from tests.support.jobs import SOON, named

NOBODY = "00000000-0000-0000-0000-000000000000"


@flow
def a_flow() -> None:
    """Never run: it is there to have started another."""


@task
def a_task() -> None:
    """Never run either."""


@pytest.fixture
def run(stack, anthropic_emulator):
    env = {**stack.env, **anthropic_emulator.environment(), "COLUMNS": "200"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "meshflow_prefect.cli", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def run_id(own_storage, stack, anthropic_emulator) -> str:
    """A run that has submitted one batch and collected it."""

    @flow
    async def submits() -> str:
        await batch_agent_tasks(named(2), poll_interval=SOON)
        return str(flow_run.id)

    return asyncio.run(submits())


def test_the_submissions_of_a_run_are_shown_as_json(run, run_id, anthropic_emulator):
    (line,) = run("submissions", run_id).stdout.splitlines()

    shown = json.loads(line)
    assert shown["batch_id"] == anthropic_emulator.batches()[0]["id"]
    assert shown["work"]["requests"] == 2


@pytest.mark.parametrize("decision", [("adopt", "msgbatch_x"), ("resubmit",)])
def test_a_run_that_has_lost_no_answer_has_nothing_to_decide(run, run_id, decision):
    command, *batch = decision
    refused = run(command, run_id, *batch)

    assert refused.returncode == 1
    assert "no such submission without a batch" in refused.stderr
    assert "0: msgbatch_" in refused.stderr


@pytest.mark.parametrize("started_by", ["a person", "another flow"])
@pytest.mark.parametrize("left_in", ["Suspended", "Pending"])
def test_a_run_that_was_left_alone_is_woken(run, stack, monkeypatch, started_by, left_in):
    """In Suspended by its process, or in Pending by the worker that had taken it up."""
    monkeypatch.setattr(stack, "pool", "nobody")  # no worker is to take it
    stack.create_pool()
    deployment = stack.deploy("pipelines.py:composed", name="nobody")

    async def left_alone() -> FlowRun:
        async with get_client() as prefect:
            calling = None
            if started_by == "another flow":
                caller = await prefect.create_flow_run(a_flow)
                calling = await prefect.create_task_run(a_task, caller.id, dynamic_key="0")
            made = await prefect.create_flow_run_from_deployment(
                deployment, parent_task_run_id=calling.id if calling is not None else None
            )
            states = (
                (Running(), Paused(name="Suspended")) if left_in == "Suspended" else (Pending(),)
            )
            for state in states:
                await prefect.set_flow_run_state(made.id, state)
            return made

    left = str(asyncio.run(left_alone()).id)
    assert stack.read(left).state.name == left_in

    woken = run("wake", left)

    assert woken.returncode == 0, woken.stderr
    assert stack.read(left).state.name == "Resuming"
    again = run("wake", left)
    assert again.returncode == 1
    assert "only a run in 'Suspended' can be woken" in again.stderr


@pytest.mark.parametrize("wrong", [NOBODY, "not-an-id"])
def test_a_run_that_does_not_exist_is_one_line(run, wrong):
    refused = run("submissions", wrong)

    assert refused.returncode == 1
    assert refused.stderr == f"There is no flow run {wrong!r}.\n"
