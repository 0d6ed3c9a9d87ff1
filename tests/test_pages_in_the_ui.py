"""The reports of the use cases on their pages in the Prefect UI, seen in a real browser."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from meshflow_prefect import CostGateError, compare_cost
from meshflow_prefect.emulator import Emulator
from tests.support.browser import Page, page
from tests.support.evals import ab_rows, cases, evaluated, prompts_compared
from tests.support.jobs import SOON
from tests.support.stack import Stack, prefect_stack

__all__ = ["page"]


@pytest.fixture
def with_ui(page: Page, tmp_path: Path, anthropic_emulator: Emulator) -> Iterator[Stack]:
    """A Prefect server with its UI."""
    home = tmp_path / "prefect"
    home.mkdir()
    with prefect_stack(home, anthropic_emulator.environment(), ui=True) as stack:
        yield stack


@pytest.mark.anthropic_emulator(batch_seconds=0.001)
async def test_the_reports_of_the_use_cases_can_be_read_on_their_pages(
    with_ui, anthropic_emulator, page, tmp_path
):
    for good in (15, 17, 18, 13):
        await evaluated(
            cases(good, 20 - good), name="support", grader="exact", history=str(tmp_path / "h.json")
        )
    rows = ab_rows(random.Random(5), 40, plainly=0.5, carefully=0.9)
    await prompts_compared(rows, name="summaries", grader="exact")
    await priced(update_baseline=True)
    longer = {"on": "rows", "outcome": "succeeded", "text": "Bright, as lamps are. " * 20}
    anthropic_emulator.plan(
        {**longer, "custom_id": "case-5-*"}, {**longer, "custom_id": "case-2-*"}
    )
    with pytest.raises(CostGateError):
        await priced()

    see(with_ui, page, "eval-support", "support: 0.650", "0 got better and 5 worse", "Last runs")
    see(with_ui, page, "ab-summaries", "careful is best", "it wins 15 of 19 cases that differ")
    see(with_ui, page, "cost-release", "Cost gate: FAILED", "TOO MUCH", "Grew most", "review-5")


@flow
async def priced(*, update_baseline: bool = False) -> None:
    """A cost gate in a flow of a user's own."""
    await compare_cost(
        [{"id": f"review-{n}", "text": f"Lamp {n} is bright."} for n in range(8)],
        name="release",
        baseline="variable:release_baseline",
        prompt="Summarise: {text}",
        update_baseline=update_baseline,
        poll_interval=SOON,
    )


def see(stack: Stack, page: Page, key: str, *texts: str) -> None:
    """Open the newest artifact of a key, read these texts on its page, and keep a picture."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with stack.client as client:
        found = client.read_artifacts(artifact_filter=wanted)
    newest = max(found, key=lambda artifact: str(artifact.created))
    page.open(f"{stack.api_url.removesuffix('/api')}/artifacts/artifact/{newest.id}")
    page.wait_for_text(*texts)
    pictures = Path(os.environ.get("MESHFLOW_TEST_PICTURES", stack.home))
    page.picture(pictures / f"{key}.png")
