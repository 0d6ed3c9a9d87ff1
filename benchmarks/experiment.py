"""One size, all contestants in turn, several rounds: the figures, and their medians."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from benchmarks.contestants import CONTESTANTS
from benchmarks.job import Job
from benchmarks.plan import Step
from benchmarks.processes import run_to_end
from benchmarks.rows import verify, write_source
from benchmarks.servers import Servers

RESULTS = Path(__file__).parent / "results"
_MOST_SAMPLES = 60
_RUNS = ("runs", "beside", "watched")


@dataclass(kw_only=True)
class Run:
    """What one run of one contestant cost."""

    wall: float
    """Seconds from the start of the process to its end."""

    cpu: float
    """Seconds of CPU of the process, user and system."""

    peak: float
    """MB that were resident at most."""

    emulator_cpu: float
    server_cpu: float
    """Of the Prefect server."""

    others: float
    """The share of the machine's CPU that processes took which have nothing to do with it."""

    batches: int
    task_runs: int
    calls: dict[str, int]
    """HTTP requests to the Prefect API, by what they ask."""

    memory: list[tuple[float, int]]
    """Seconds from the beginning, and the MB resident then."""

    import_wall: float | None = None
    import_cpu: float | None = None
    """Of all imports, and of putting away at the end what they have loaded; None where they cannot
    be seen from inside."""

    blocks: list[tuple[float, float]] | None = None
    """The longest times that the event loop answered nobody, and when, after the imports; None
    where nobody looked."""

    @property
    def cpu_after_imports(self) -> float | None:
        """Seconds of CPU of all else."""
        return None if self.import_cpu is None else self.cpu - self.import_cpu

    @property
    def wall_after_imports(self) -> float | None:
        """Seconds of all else."""
        return None if self.import_wall is None else self.wall - self.import_wall

    @property
    def blocked(self) -> float | None:
        """The longest time, in seconds, that the event loop answered nobody."""
        return max(seconds for seconds, _ in self.blocks) if self.blocks else None

    def described(self) -> str:
        """Return the figures of this run in a line."""
        line = f"{self.wall:.1f} s, CPU {self.cpu:.1f} s, {self.peak:.0f} MB"
        for seconds, at in sorted(self.blocks or (), reverse=True)[:1]:
            line += f", loop blocked for {seconds * 1000:.0f} ms after {at:.1f} s"
        return line

    @property
    def api_calls(self) -> int:
        """How many HTTP requests reached the Prefect API."""
        return sum(self.calls.values())


@dataclass(kw_only=True)
class Experiment:
    """All runs at one size."""

    requests: int
    size: int
    """Bytes of each request."""

    when: str
    machine: str
    versions: str
    runs: dict[str, list[Run]] = field(default_factory=dict)
    beside: dict[str, list[Run]] = field(default_factory=dict)
    """The runs of another size that were made in between; see `Step.beside`."""
    watched: dict[str, list[Run]] = field(default_factory=dict)
    """The runs whose event loop was watched, which costs CPU: for `blocked`, and for no more."""

    def median(self, name: str, figure: str) -> float | None:
        """Return the median of a figure of a contestant; None where it was not measured."""
        return _median(self.watched if figure == "blocked" else self.runs, name, figure)

    def median_beside(self, name: str, figure: str) -> float | None:
        """Return the same of the other size that was run in between."""
        return _median(self.beside, name, figure)

    @property
    def others(self) -> float:
        """The share of the machine's CPU that went elsewhere, in the middle of all runs."""
        return statistics.median(run.others for runs in self.runs.values() for run in runs)

    def save(self, directory: Path = RESULTS) -> None:
        """Keep the figures as JSON, a line for each run."""
        found = dataclasses.asdict(self)
        runs = {kind: found.pop(kind) for kind in _RUNS}
        lines = [json.dumps(found)[:-1]]
        lines += [f'"{kind}": {{\n{_listed(each)}\n}}' for kind, each in runs.items()]
        directory.mkdir(exist_ok=True)
        _file(directory, self.requests, self.size).write_text(", ".join(lines) + "}\n")

    @classmethod
    def load(cls, requests: int, size: int, directory: Path = RESULTS) -> Self | None:
        """Return what was measured last at a size, if it ever was."""
        file = _file(directory, requests, size)
        if not file.exists():
            return None
        found = json.loads(file.read_text())
        for kind in _RUNS:
            runs = found.pop(kind, {})
            found[kind] = {name: [Run(**run) for run in each] for name, each in runs.items()}
        return cls(**found)


def measure(servers: Servers, step: Step, *, size: int, say: Callable[[str], None]) -> Experiment:
    """Run every contestant once in each round, and keep the figures."""
    requests, names = step.requests, step.names
    experiment = Experiment(
        requests=requests,
        size=size,
        when=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=_machine(),
        versions=", ".join(f"{name} {version(name)}" for name in ("anthropic", "prefect", "httpx")),
        runs={name: [] for name in names},
    )
    sizes = {requests: experiment.runs}
    if step.beside is not None:
        experiment.beside = {name: [] for name in names}
        sizes = {step.beside: experiment.beside} | sizes
    sources = {each: servers.home / f"source-{each}.jsonl" for each in sizes}
    for each, source in sources.items():
        write_source(source, requests=each, size=size)
    for number in range(step.rounds):
        begin = number % len(names)
        for name in [*names[begin:], *names[:begin]]:  # nobody is always the first
            for each, runs in sizes.items():
                run = one_run(servers, name, sources[each], requests=each)
                runs[name].append(run)
                say(f"{each:,} x {size:,} bytes, {name}: {run.described()}")
    for name in (name for name in names if CONTESTANTS[name].has_loop):
        run = one_run(servers, name, sources[requests], requests=requests, is_watched=True)
        experiment.watched[name] = [run]
        say(f"{requests:,} x {size:,} bytes, {name}, watched: {run.described()}")
    for source in sources.values():
        source.unlink()
    return experiment


def one_run(
    servers: Servers, name: str, source: Path, *, requests: int, is_watched: bool = False
) -> Run:
    """Run one contestant, prove that what it wrote is right, and forget its batches."""
    # Never the same destination again: to the command, that would be the same job going on.
    destination, inside = servers.home / f"{uuid4().hex}.jsonl", servers.home / "figures.json"
    job = Job(
        source=str(source),
        destination=str(destination),
        figures=str(inside),
        is_watched=is_watched,
    )
    contestant = CONTESTANTS[name]
    with servers.counting(prefect=contestant.uses_prefect) as counts:
        outcome = run_to_end(
            contestant.command(job), env=servers.env, log=servers.home / f"{name}.log"
        )
    verify(destination, requests=requests)
    destination.unlink()
    wall = outcome.ended - outcome.began
    known = outcome.cpu + counts.emulator_cpu + counts.server_cpu
    run = Run(
        wall=wall,
        cpu=outcome.cpu,
        peak=outcome.peak,
        emulator_cpu=counts.emulator_cpu,
        server_cpu=counts.server_cpu,
        others=max(0.0, counts.machine_cpu - known) / (wall * (os.cpu_count() or 1)),
        batches=counts.batches,
        task_runs=counts.task_runs,
        calls=dict(counts.calls.most_common()),
        memory=outcome.memory[:: len(outcome.memory) // _MOST_SAMPLES + 1],
    )
    if inside.exists():
        found: dict[str, Any] = json.loads(inside.read_text())
        inside.unlink()
        run.wall -= found["measuring_wall"]
        run.cpu -= found["measuring_cpu"]
        away = run.wall + outcome.began - found["ended_at"]
        run.import_wall = found["imported_at"] - outcome.began + found["later_import_wall"] + away
        run.import_cpu = found["import_cpu"] + run.cpu - found["ended_cpu"]
        run.blocks = found.get("blocks")
    return run


def _median(runs: Mapping[str, Sequence[Run]], name: str, figure: str) -> float | None:
    values = [getattr(run, figure) for run in runs.get(name, ())]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _listed(runs: Mapping[str, Sequence[object]]) -> str:
    return ",\n".join(
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, each)) + "\n]"
        for name, each in runs.items()
    )


def _file(directory: Path, requests: int, size: int) -> Path:
    return directory / f"{requests}x{size}.json"


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(names)} cores of {names[0] if names else platform.machine()}, {memory:.0f} GB, "
        f"CPython {platform.python_version()}"
    )
