"""Who takes part, by name, and the command that runs each of them in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.job import Job


@dataclass(frozen=True)
class Contestant:
    """One way to have a file of prompts answered."""

    title: str
    """Its name in tables."""

    command: Callable[[Job], list[str]]
    uses_prefect: bool = False
    has_loop: bool = False
    """Whether there is an event loop that can be watched from inside."""


def _in_process(name: str) -> Callable[[Job], list[str]]:
    return lambda job: [sys.executable, "-m", "benchmarks.contest", name, job.as_json()]


def _meshflow(job: Job) -> list[str]:
    return [
        *(sys.executable, "-m", "meshflow_prefect.cli", "run", job.source),
        *("-o", job.destination, "--model", job.model, "--prompt", job.template),
        *("--max-tokens", str(job.max_tokens), "--poll-interval", str(job.poll_seconds)),
    ]


CONTESTANTS = {
    "floor": Contestant("httpx + orjson by hand", _in_process("floor")),
    "sdk": Contestant("the SDK's loop", _in_process("sdk"), has_loop=True),
    "client": Contestant("AnthropicBatchClient.run", _in_process("client"), has_loop=True),
    "tasks": Contestant(
        "batch_agent_tasks", _in_process("tasks"), uses_prefect=True, has_loop=True
    ),
    "files": Contestant("batch_file", _in_process("files"), uses_prefect=True, has_loop=True),
    "command": Contestant("meshflow-prefect run", _meshflow, uses_prefect=True),
}
