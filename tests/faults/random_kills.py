"""Random kills until a number is reached, on several rigs at once. For long hunts by itself:

`python -m tests.faults.random_kills --kills 200 --seed 7 --jobs 3`
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.hunt import MOST, Hunt, Report
from tests.support.bystander import CalledOff
from tests.support.options import JOBS, KILLS, SEED
from tests.support.rig import rigged


@dataclass
class Budget:
    """The kills that are left to do, and the number of the next run."""

    left: int
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, seed: int) -> tuple[int, random.Random, int] | None:
        """Return a run's number, its random numbers and how often to kill it; None at the end."""
        with self._lock:
            if self.left <= 0:
                return None
            self._number += 1
            rng = random.Random(f"{seed}/{self._number}")
            kills = min(rng.randint(1, MOST), self.left)
            self.left -= kills
            return self._number, rng, kills

    def give_back(self, kills: int) -> None:
        """A run has ended before it was killed so often."""
        with self._lock:
            self.left += kills


@dataclass(frozen=True)
class Tally:
    """All runs of a hunt."""

    reports: list[Report]
    seed: int
    seconds: float

    @property
    def problems(self) -> list[str]:
        return [
            f"run {report.number}: {report.problem}" for report in self.reports if report.problem
        ]

    @property
    def kills(self) -> int:
        return sum(len(report.hits) for report in self.reports)

    @property
    def created(self) -> int:
        return sum(report.outcome.created for report in self.reports if report.outcome)

    @property
    def paid(self) -> int:
        return sum(report.outcome.paid for report in self.reports if report.outcome)

    @property
    def lost(self) -> int:
        return sum(report.outcome.lost for report in self.reports if report.outcome)

    def __str__(self) -> str:
        survived = [hit for report in self.reports if not report.problem for hit in report.hits]
        kinds = Counter(hit.kind for hit in survived)
        by_kind = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        return (
            f"Survived {len(survived)} of {self.kills} kills ({by_kind or 'none'}) in "
            f"{len(self.reports)} runs: {self.created} batches created, {self.lost} rows lost, "
            f"{self.seconds:.0f} s, seed {self.seed}."
        )


def kill_at_random(
    kills: int, seed: int, jobs: int, home: Path, say: Callable[[str], None]
) -> Tally:
    """Kill runs until so many kills have hit; `say` is given a line for each run."""
    budget, called_off, reports = Budget(kills), threading.Event(), list[Report]()
    say(f"seed {seed}: {kills} kills, {jobs} runs at once, below {home}")
    began = time.monotonic()

    def lane(number: int) -> None:
        with rigged(home / f"lane-{number}", wired=False) as rig:
            hunt, spoiled = Hunt(rig, called_off), 0
            while spoiled < 3 and (taken := budget.take(seed)) is not None:
                report = hunt.run(*taken)
                reports.append(report)
                budget.give_back(taken[2] - len(report.hits))
                say(f"seed {seed} {report}")
                spoiled += report.outcome is None

    with ThreadPoolExecutor(jobs) as pool:
        lanes = [pool.submit(lane, number) for number in range(jobs)]
        try:
            for ended in lanes:
                ended.result()
        except BaseException:
            # The lanes end their processes before the pool is left.
            called_off.set()
            raise
    tally = Tally(reports, seed, time.monotonic() - began)
    say(str(tally))
    return tally


def main() -> int:
    """Hunt from a terminal; the exit status is 1 when a batch or a row was lost or paid twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=JOBS)
    chosen = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="random-kills-"))

    def say(line: str) -> None:
        print(line, flush=True)

    try:
        tally = kill_at_random(chosen.kills, chosen.seed, chosen.jobs, home, say)
    except (KeyboardInterrupt, CalledOff):
        return 130
    if tally.problems or tally.kills < chosen.kills:
        print(f"The servers' and workers' logs are kept below {home}")
        return 1
    shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
