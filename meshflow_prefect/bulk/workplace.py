"""Where a file job keeps its spool and the results that have come, on this machine's disk.

All of it can be made again: requests from the source, results from Anthropic, and which batches
there are from the ledger. So a job that goes on elsewhere, or whose disk was lost, loses nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from meshflow_prefect.bulk.chunk_files import SpooledChunk, spooled
from meshflow_prefect.bulk.harvest import Results, Tally, tally_of
from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.bulk.presence import is_anybody_in, present
from meshflow_prefect.models import RESULTS_KEPT

_NAME = re.compile(r"job-[0-9a-f]{24}")

ENVIRONMENT = "MESHFLOW_SPOOL"
"""Names another folder than `meshflow` in Prefect's home."""


@dataclass(frozen=True)
class Workplace:
    """The folder of one job. Two executions of a run may be at work in it at once."""

    directory: Path
    reading: str = ""
    """Tells the spool of one reading of the source from others, which may be in use."""

    @classmethod
    def of(cls, job: str) -> Workplace:
        """Return the workplace of a job, the same whenever it is asked for on this machine."""
        from prefect.settings import get_current_settings

        base = os.environ.get(ENVIRONMENT)
        spools = Path(base) if base else get_current_settings().home / "meshflow"
        return cls(spools / f"job-{hashlib.sha256(job.encode()).hexdigest()[:24]}")

    def of_reading(self, *, fingerprint: str, settings: str) -> Workplace:
        """Return the same place, with the spool of this source as it is read in this way."""
        reading = hashlib.sha256(f"{fingerprint} {settings}".encode()).hexdigest()[:16]
        return replace(self, reading=reading)

    @property
    def spool(self) -> Path:
        """Where the spool is, once it is whole."""
        return self.directory / "-".join(filter(None, ("spool", self.reading)))

    @property
    def rows(self) -> Path:
        """Where each input row's result will be."""
        return self.spool / "rows.jsonl"

    @property
    def plan(self) -> Plan | None:
        """The plan of the spool, once it is whole."""
        return Plan.read(self.spool)

    def chunk(self, plan: Plan, number: int) -> SpooledChunk:
        """Return one chunk of the spool."""
        return spooled(self.spool / f"chunk-{number:05d}.json", plan.chunks[number])

    def results(self, plan: Plan, number: int, attempt: int) -> Path:
        """Return where the results of one attempt at a chunk are, without the ending."""
        # Results are those of a certain content: a spool that was made anew has others.
        folder = self.directory / f"results-{plan.digest[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"results-{number:05d}-{attempt}"

    def tallies(self, plan: Plan, number: int) -> list[Tally]:
        """Return the sums of the attempts at a chunk that have been collected."""
        tallies: list[Tally] = []
        while tally := tally_of(self.results(plan, number, len(tallies) + 1)):
            tallies.append(tally)
        return tallies

    def open_results(
        self, plan: Plan, number: int, *, attempts: int | None = None
    ) -> list[Results]:
        """Open the results of the first attempts at a chunk, or of all that have been collected."""
        if attempts is None:
            attempts = len(self.tallies(plan, number))
        requests = plan.chunks[number].requests
        return [
            Results(self.results(plan, number, attempt), requests)
            for attempt in range(1, attempts + 1)
        ]

    def present(self) -> AbstractContextManager[None]:
        """Keep another execution of the run from clearing the place while the block runs."""
        return present(self.directory)

    def clear(self) -> None:
        """Remove all of it, and what jobs that never ended have left, once it is of no use.

        Where another execution of the run is still at work, that one removes it in the end.
        """
        if not is_anybody_in(self.directory):
            shutil.rmtree(self.directory, ignore_errors=True)
        oldest = time.time() - RESULTS_KEPT.total_seconds()
        for other in self.directory.parent.iterdir():
            # The folder may be one that others use as well; and a job that ends removes its own.
            with suppress(OSError):
                if _NAME.fullmatch(other.name) and other.stat().st_mtime < oldest:
                    shutil.rmtree(other, ignore_errors=True)
