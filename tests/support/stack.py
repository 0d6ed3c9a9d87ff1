"""A real Prefect server with a process worker, both processes of their own."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Cancelling

from tests.support.processes import free_port, running, wait_until

DEPLOYED = Path(__file__).parents[1] / "deployed"

QUICK = {
    # A worker looks for runs, and starts them ahead of their time, far less often by itself.
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_PREFETCH_SECONDS": "2",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_TO_API_ENABLED": "true",
}


@dataclass
class Stack:
    """What tests do with a running server and worker."""

    home: Path
    api_url: str
    env: dict[str, str]
    server_process: int
    pool: str = "tests"
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def client(self) -> SyncPrefectClient:
        """A client of this server."""
        return get_client(sync_client=True)

    def worker(self, name: str, *, limit: int | None = None, **env: str) -> Any:
        """Run a process worker while the block runs."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", self.pool]
        command += ["--type", "process", "--name", name]
        command += ["--limit", str(limit)] if limit else []
        return running(command, env=self.env | env, log=self.home / f"worker-{name}.log")

    def create_pool(self) -> None:
        """Make the work pool, unless it is there."""
        with self.client as client:
            client.create_work_pool(WorkPoolCreate(name=self.pool, type="process"), overwrite=True)

    def deploy(
        self, entrypoint: str, *, name: str = "test", directory: Path = DEPLOYED, **options: Any
    ) -> UUID:
        """Deploy `file.py:flow` to the worker's pool, or deploy it again."""
        flow_name = options.pop("flow_name", entrypoint.rpartition(":")[2].replace("_", "-"))
        with self.client as client:
            flow_id = client.create_flow_from_name(flow_name)
            return client.create_deployment(
                flow_id=flow_id,
                name=name,
                entrypoint=entrypoint,
                work_pool_name=self.pool,
                pull_steps=[
                    {
                        "prefect.deployments.steps.set_working_directory": {
                            "directory": str(directory)
                        }
                    }
                ],
                **options,
            )

    def find(self, name: str) -> UUID | None:
        """Return the id of the deployment `flow/name`, or None."""
        with self.client as client:
            try:
                return client.read_deployment_by_name(name).id
            except ObjectNotFound:
                return None

    def cancel(self, run_id: str) -> None:
        """Ask for a cancellation, as the UI does."""
        with self.client as client:
            client.set_flow_run_state(UUID(run_id), Cancelling())

    def start(self, deployment: UUID, /, **parameters: Any) -> str:
        """Have a deployment run, and return the flow run's id."""
        with self.client as client:
            run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
        return str(run.id)

    def execution(self, run_id: str) -> list[str]:
        """Return the command with which a worker has a run executed."""
        return [sys.executable, "-m", "prefect", "flow-run", "execute", run_id]

    def read(self, run_id: str) -> FlowRun:
        """Return the run as it is now."""
        with self.client as client:
            return client.read_flow_run(UUID(run_id))

    def wait_for_state(self, run_id: str, *names: str, limit: float = 180.0) -> FlowRun:
        """Return the run once its state has one of these names."""

        def reached() -> FlowRun | None:
            run = self.read(run_id)
            return run if run.state is not None and run.state.name in names else None

        try:
            return wait_until(reached, f"run {run_id} in {names}", limit=limit)
        except AssertionError as error:
            state = self.read(run_id).state
            raise AssertionError(f"{error}\nIt is in {state!r}\n{self.logs(run_id)}") from None

    def finish(self, run_id: str, *, limit: float = 240.0) -> FlowRun:
        """Return the run once it has completed; fail, with its logs, when it ends otherwise."""
        run = self.wait_for_state(
            run_id, "Completed", "Failed", "Crashed", "Cancelled", "TimedOut", limit=limit
        )
        assert run.state is not None
        assert run.state.name == "Completed", f"{run.state!r}\n{self.logs(run_id)}"
        return run

    def states(self, run_id: str) -> list[State]:
        """Return all states that the run has been in."""
        with self.client as client:
            return sorted(
                client.read_flow_run_states(UUID(run_id)), key=lambda state: state.timestamp
            )

    def task_runs(self, run_id: str) -> list[TaskRun]:
        """Return the task runs of this run."""
        with self.client as client:
            return client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id)]))
            )

    def subflow_runs(self, run_id: str) -> list[FlowRun]:
        """Return the runs that this run called, oldest first."""
        with self.client as client:
            found = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[UUID(run_id)])
                )
            )
        return sorted(found, key=lambda run: str(run.created))

    def subflow_logs(self, run_id: str) -> list[str]:
        """Return the log lines of the runs that this run called."""
        runs = self.subflow_runs(run_id)
        return [line for run in runs for line in self.logs(str(run.id)).splitlines()]

    def logs(self, run_id: str) -> str:
        """Return the run's log lines, as the server has them."""
        with self.client as client:
            lines = client.request(
                "POST",
                "/logs/filter",
                json={
                    "logs": LogFilter(
                        flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)])
                    ).model_dump(mode="json"),
                    "sort": "TIMESTAMP_ASC",
                },
            ).json()
        return "\n".join(line["message"] for line in lines)


@contextmanager
def prefect_stack(home: Path, env: Mapping[str, str], *, ui: bool = False) -> Iterator[Stack]:
    """Run a Prefect server with a database of its own while the block runs."""
    port = free_port()
    api_url = f"http://127.0.0.1:{port}/api"
    child = {
        **os.environ,
        **QUICK,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api_url,
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PYTHONPATH": str(DEPLOYED.parents[1]),
        **env,
    }
    child.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    command += ["--port", str(port)] + ([] if ui else ["--no-ui"])
    with running(command, env=child, log=home / "server.log") as server:
        wait_until(lambda: _healthy(api_url), "the Prefect server answers")
        # This process outlives the server, and would complain of its last log lines.
        settings = {PREFECT_API_URL: api_url, PREFECT_LOGGING_TO_API_ENABLED: False}
        with temporary_settings(settings):
            stack = Stack(home, api_url, child, server.pid)
            stack.create_pool()
            yield stack


def _healthy(api_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
