"""Workers of a test's own, on pools that no other worker serves, with an API of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshflow_prefect.emulator import Emulator
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]


@contextmanager
def own_worker(
    stack: Stack, pool: str, emulator: Emulator, *, limit: int | None = None, **env: str
) -> Iterator[Stack]:
    """Yield the stack with `pool` as its pool, and a worker on it that calls this emulator."""
    shared, stack.pool = stack.pool, pool
    try:
        stack.create_pool()
        with stack.worker(f"of-{pool}", limit=limit, **emulator.environment(), **env):
            yield stack
    finally:
        stack.pool = shared


def deploy_cancel_batches(stack: Stack) -> None:
    """Deploy what cancels the batches of cancelled runs, as the README says."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "cancel-batches"]
    subprocess.run(command, cwd=ROOT, env=stack.env, check=True, capture_output=True)
