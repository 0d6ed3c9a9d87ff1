"""Deployments that a flow starts, as steps of its own: each has its own rows."""

from __future__ import annotations

import pytest
from prefect import flow, task
from prefect.deployments import run_deployment
from prefect.runtime import flow_run

from tests.support.jobs import SOON


@pytest.mark.parametrize("second", [["What is B?"], ["What is B?", "What is C?"]])
async def test_a_replay_that_starts_the_next_deployment_has_its_rows_and_no_other(
    worker, in_process, own_storage, second
):
    """The step before is not repeated, and Prefect gives the next one that one's place."""
    name = "batch-agent-tasks/as-a-step"
    worker.deploy("packaged.py:batch_agent_tasks", flow_name="batch-agent-tasks", name="as-a-step")

    @task(persist_result=True)
    async def ask(prompts: list[str]) -> list[str]:
        asked = {"tasks": prompts, "poll_interval": SOON}
        run = await run_deployment(name, parameters=asked, poll_interval=1)
        assert run.state is not None
        return [row.custom_id for row in await run.state.aresult()]

    @flow(retries=1)
    async def parent() -> list[list[str]]:
        first = await ask(["What is A?"])
        if flow_run.get_run_count() == 1:
            raise RuntimeError("The flow fails after its first step.")
        return [first, await ask(second)]

    asked, then = await parent()

    assert [len(asked), len(then)] == [1, len(second)]
    assert set(asked).isdisjoint(then)
    assert sorted(batch["requests"] for batch in in_process.batches()) == sorted([1, len(second)])
