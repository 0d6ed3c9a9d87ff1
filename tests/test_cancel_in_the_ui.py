"""A person cancels a suspended run in the Prefect UI: in a real browser, by the actual buttons."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from meshflow_prefect.emulator import Emulator
from tests.support.browser import Page, page
from tests.support.pools import deploy_cancel_batches, own_worker
from tests.support.processes import processes_of_run, wait_until
from tests.support.stack import DEPLOYED, Stack, prefect_stack

__all__ = ["page"]

NOTICE = "Flow run cancelled"
"""The UI shows it for some seconds after the cancellation, while it draws the run's graph."""


@pytest.fixture
def emulator(page: Page) -> Iterator[Emulator]:
    """A batch takes longer than any test."""
    with Emulator(batch_seconds=3600, cancel_seconds=60) as emulator:
        yield emulator


@pytest.fixture
def with_ui(tmp_path: Path, emulator: Emulator) -> Iterator[Stack]:
    """A Prefect server with its UI, a worker, and the deployment that cancels batches."""
    home = tmp_path / "prefect"
    home.mkdir()
    env = emulator.environment() | {"MESHFLOW_TEST_NOTES": str(home / "notes.jsonl")}
    with (
        prefect_stack(home, env, ui=True) as stack,
        own_worker(stack, "meshflow", emulator) as ready,
    ):
        deploy_cancel_batches(ready)
        yield ready


def test_the_cancel_button_of_a_suspended_run_cancels_its_batch(with_ui, emulator, page, tmp_path):
    pictures = Path(os.environ.get("MESHFLOW_TEST_PICTURES", tmp_path))
    run_id = with_ui.start(deploy(with_ui, tmp_path))
    with_ui.wait_for_state(run_id, "Resuming")
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
    assert [batch["status"] for batch in emulator.batches()] == ["in_progress"]

    page.open(f"{with_ui.api_url.removesuffix('/api')}/runs/flow-run/{run_id}")
    page.wait_for_text("\nResuming\n", "Suspending run")
    assert not page.offers("Resume"), "the run resumes by itself"
    page.picture(pictures / "run-suspended.png")

    page.press("Cancel")
    page.wait_for_text("Cancel Flow Run", "Cancelling")
    page.press("Confirm")
    pressed = time.monotonic()

    with_ui.wait_for_state(run_id, "Cancelled")
    page.wait_for_text("\nCancelled\n", "Retry", NOTICE)
    wait_until(lambda: emulator.batches()[0]["status"] == "canceling", "the batch is cancelled")
    print(f"The batch was canceling {time.monotonic() - pressed:.1f} s after the button.")
    page.wait_without_text(NOTICE)
    page.picture(pictures / "run-cancelled.png")
    assert not page.offers("Cancel")
    assert processes_of_run(run_id) == []


def deploy(stack: Stack, directory: Path) -> UUID:
    """The flow with a wait that outlasts the test; no tag: the run needs none to be found."""
    source = (DEPLOYED / "pipelines.py").read_text()
    code = source.replace("INTERVAL = 15.0", "INTERVAL = 3600.0")
    assert code != source
    (directory / "pipelines.py").write_text(code)
    return stack.deploy("pipelines.py:composed", directory=directory)
