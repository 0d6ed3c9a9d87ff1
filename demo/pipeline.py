"""A pipeline as a user would write it: extract → a batch at Anthropic → load."""

from __future__ import annotations

import json
import os
from pathlib import Path

from prefect import flow, task

from meshflow_prefect import BatchResult, batch_agent_tasks

REVIEWS = {
    "coffee grinder": "Loud enough to wake the street, and the lid cracked in a week.",
    "desk lamp": "Warm light, no flicker, and it arrived a day early.",
    "rain jacket": "Kept me dry for an hour, then it did not.",
    "notebook": "The paper takes ink well. I have bought three.",
    "headphones": "Comfortable; the left side went quiet after a month.",
}


def note(step: str) -> None:
    """Tell the demo which process this is."""
    with Path(os.environ["DEMO_NOTES"]).open("a") as notes:
        notes.write(json.dumps({"step": step, "pid": os.getpid()}) + "\n")


@task(persist_result=True)
def extract() -> list[str]:
    """Read the rows to work on. Its result is kept, so it is not read again after the wait."""
    note("extract")
    return [f"Summarise this review of a {what} in five words: {r}" for what, r in REVIEWS.items()]


@task
def load(results: list[BatchResult]) -> None:
    """Write the rows to where they belong."""
    note("load")
    rows = [json.dumps(result.to_dict()) for result in results]
    Path(os.environ["DEMO_RESULTS"]).write_text("\n".join(rows))


@flow
async def pipeline() -> int:
    """Summarise the reviews."""
    note("start")
    results = await batch_agent_tasks(extract(), max_tokens=64, poll_interval=15)
    load(results)
    return len(results)
