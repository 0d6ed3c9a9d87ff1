"""How far a file job has come, for people: on a terminal, and as an artifact in the Prefect UI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import httpx
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.exceptions import ObjectNotFound, PrefectException
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from meshflow_prefect.bulk.progress import Progress

_LOOK_SECONDS = 1.0
_UNREACHED = (httpx.HTTPError, PrefectException)


@asynccontextmanager
async def showing(progress: Progress, directory: Path) -> AsyncIterator[None]:
    """Show the progress while the block runs.

    On a terminal, lines that move. In the Prefect UI, one progress artifact of the run, brought up
    to date when a chunk or a batch is done: the calls grow with the batches, not with the rows.
    `directory` remembers which artifact it is, over the processes of a run.
    """
    artifact = _Artifact(progress, directory / "artifact")
    console = Console(stderr=True)
    stopped = asyncio.Event()
    updates = asyncio.create_task(artifact.follow(stopped))
    try:
        if console.is_terminal:
            with Live(_Display(progress), console=console, refresh_per_second=4):
                yield
        else:
            yield
    finally:
        # Not cancelled: an artifact that is being made would be forgotten, and made again.
        stopped.set()
        await updates
        await artifact.update()


class _Artifact:
    """The progress artifact of a run."""

    def __init__(self, progress: Progress, remembered: Path) -> None:
        self._progress, self._remembered = progress, remembered
        self._shown: object = None

    async def follow(self, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            await self.update()
            # Counters have no event to wait on.
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), _LOOK_SECONDS)

    async def update(self) -> None:
        milestones = self._progress.milestones
        if milestones == self._shown:
            return
        # A picture that is late must not end the job.
        with suppress(*_UNREACHED):
            await self._write(100 * self._progress.share, self._progress.as_markdown())
            self._shown = milestones

    async def _write(self, percent: float, words: str) -> None:
        if self._remembered.exists():
            with suppress(ObjectNotFound):
                known = UUID(self._remembered.read_text())
                await aupdate_progress_artifact(known, percent, words)
                return
        made = await acreate_progress_artifact(percent, description=words)
        self._remembered.parent.mkdir(parents=True, exist_ok=True)
        self._remembered.write_text(str(made))


class _Display:
    """What a terminal shows."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __rich__(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, done, of in self._progress.stages():
            bar = ProgressBar(total=max(of, 1), completed=done, width=30)
            count = f"{done:,} of {of:,}" if of else f"{done:,}"
            table.add_row(Text(name), bar, Text(count, justify="right"))
        return Group(table, Text(f"US$ {self._progress.cost_usd:.4f} so far"))
