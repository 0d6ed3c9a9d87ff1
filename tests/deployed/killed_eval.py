"""An eval whose process dies twice: while it grades, and when it has written its history."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from prefect import flow

from meshflow_prefect import evaluate
from meshflow_prefect.grading import Grade

CASES = [{"id": f"case-{n}", "n": n, "expected": str(n)} for n in range(4)]


def dies_once(mark: Path) -> None:
    """SIGKILL this process, unless one was killed here already."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Dying:
    """Passes every reply; at the first of all it dies."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def check(self, expected: object) -> None:
        """Take any."""

    def grade(self, output: str, expected: object) -> Grade:
        """Pass it."""
        dies_once(self._mark)
        return Grade(1.0, passed=True, reason="It is there.")


@flow
async def killed_eval(folder: str) -> float:
    report = await evaluate(
        CASES,
        name="killed",
        prompt="Name the number {n}.",
        grader=Dying(Path(folder) / "graded"),
        history=f"{folder}/history.json",
        poll_interval=0.1,
    )
    dies_once(Path(folder) / "kept")
    return report.score
