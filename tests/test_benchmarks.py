"""The benchmarks measure what they say: what is wrong is noticed, what is costly is seen."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.blocking import watched_loop
from benchmarks.contestants import CONTESTANTS
from benchmarks.experiment import Experiment, Run
from benchmarks.importing import counted_imports
from benchmarks.job import Job
from benchmarks.plan import LARGE, MILLION, ONE, SIZE, SMALL
from benchmarks.plot import draw
from benchmarks.processes import run_to_end
from benchmarks.rows import verify, write_source
from benchmarks.targets import Measured, targets
from meshflow_prefect.emulator import Emulator


@pytest.mark.parametrize(
    ("name", "is_watched"), [("floor", False), ("sdk", True), ("client", False), ("client", True)]
)
def test_a_contestant_writes_every_row_in_order(
    tmp_path: Path, name: str, is_watched: bool
) -> None:
    source, destination = tmp_path / "source.jsonl", tmp_path / "destination.jsonl"
    write_source(source, requests=30, size=SIZE)
    figures = tmp_path / "figures.json"
    job = Job(
        source=str(source),
        destination=str(destination),
        figures=str(figures),
        is_watched=is_watched,
    )
    with Emulator(batch_seconds=0.1) as emulator:
        env = {**os.environ, **emulator.environment()}
        run_to_end(CONTESTANTS[name].command(job), env=env, log=tmp_path / "log")
        assert [batch["requests"] for batch in emulator.batches()] == [30]
    verify(destination, requests=30)
    seen = json.loads(figures.read_text())
    assert 0 < seen["import_cpu"] < seen["ended_cpu"]
    assert ("blocks" in seen) is is_watched


def test_what_is_loaded_late_counts_as_an_import_and_what_else_is_done_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = "import time\nends = time.thread_time() + 0.3\nwhile time.thread_time() < ends: pass\n"
    (tmp_path / "loaded_late.py").write_text(busy)
    monkeypatch.syspath_prepend(tmp_path)
    with counted_imports() as imports:
        import loaded_late  # type: ignore[import-not-found]

        exec(busy)
    assert 0.3 <= imports.cpu < 0.6
    assert imports.wall >= 0.3
    before = imports.cpu
    import loaded_late  # noqa: F401

    assert imports.cpu == before


def test_requests_are_as_large_as_was_said(tmp_path: Path) -> None:
    write_source(tmp_path / "source.jsonl", requests=20, size=SIZE)
    names = {"source": "source.jsonl", "destination": "out.jsonl", "figures": "figures.json"}
    job = Job(**{name: str(tmp_path / file) for name, file in names.items()})
    with Emulator(batch_seconds=0.1, directory=tmp_path / "kept") as emulator:
        env = {**os.environ, **emulator.environment()}
        run_to_end(CONTESTANTS["floor"].command(job), env=env, log=tmp_path / "log")
    (sent,) = (tmp_path / "kept").glob("batches/*/requests.jsonl")
    assert sent.stat().st_size / 20 == pytest.approx(SIZE, rel=0.03)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["row-0000000", "row-0000002", "row-0000001"], "Line 2"),
        (["row-0000000", "row-0000001"], "2 lines for 3 requests"),
        (["row-0000000", "row-0000001", "row-0000002", "row-0000002"], "Line 4"),
        (["row-0000000", "nothing", "row-0000002"], "Line 2"),
    ],
)
def test_a_file_that_is_not_whole_and_in_order_is_refused(
    tmp_path: Path, lines: list[str], complaint: str
) -> None:
    path = tmp_path / "destination.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AssertionError, match=complaint):
        verify(path, requests=3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_cpu_and_the_memory_of_a_process_and_its_child_are_seen(tmp_path: Path) -> None:
    child = "import time; kept = b'x' * 150_000_000; time.sleep(1)"
    code = f"""
import subprocess, sys, time
subprocess.run([sys.executable, "-c", {child!r}], check=True)
while time.process_time() < 0.5: pass
"""
    outcome = run_to_end([sys.executable, "-c", code], env=os.environ, log=tmp_path / "log")
    assert outcome.peak > 150
    assert max(size for _, size in outcome.memory) > 150
    assert outcome.cpu >= 0.5
    assert outcome.ended - outcome.began > 1


def test_a_process_that_fails_is_shown_with_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such file')"]
    with pytest.raises(RuntimeError, match="no such file"):
        run_to_end(command, env=os.environ, log=tmp_path / "log")


async def test_a_block_of_the_event_loop_is_seen_with_its_time() -> None:
    async with watched_loop() as blocks:
        await asyncio.sleep(0.1)
        time.sleep(0.3)  # noqa: ASYNC251 - the block that is to be seen
    seconds, at = blocks.longest[0]
    assert seconds >= 0.28
    assert at >= 0.08


def _run(
    cpu: float,
    wall: float = 10.0,
    peak: float = 100.0,
    batches: int = 1,
    imports: float | None = None,
) -> Run:
    return Run(
        wall=wall,
        cpu=cpu,
        peak=peak,
        emulator_cpu=0.0,
        server_cpu=0.0,
        others=0.0,
        batches=batches,
        task_runs=3,
        calls={"GET /api/flow_runs/{id}": 16 * batches},
        memory=[(0.0, 1), (1.5, 100), (wall, 90)],
        import_wall=imports,
        import_cpu=imports,
    )


def _found() -> dict[int, Experiment]:
    runs = {
        ONE: {"sdk": [_run(2)], "files": [_run(4, 5)], "floor": [_run(1, 2)]},
        SMALL: {"files": [_run(9, 15)], "floor": [_run(9, 10)]},
        LARGE: {
            "sdk": [_run(cpu, imports=2) for cpu in (41, 42, 90)],
            "files": [_run(14, peak=190, imports=4)],
        },
        MILLION: {"files": [_run(206, peak=230, batches=10)]},
    }
    found = {
        requests: Experiment(
            requests=requests, size=SIZE, when="", machine="", versions="", runs=each
        )
        for requests, each in runs.items()
    }
    # The machine was slower when the million was run.
    found[MILLION].beside = {"files": [_run(24)]}
    watched = dataclasses.replace(_run(90), blocks=[(0.01, 1.0), (0.09, 2.0)])
    found[LARGE].watched = {"files": [watched]}
    return found


def test_figures_are_read_as_they_were_saved_and_are_enough_to_draw(tmp_path: Path) -> None:
    found = _found()
    for experiment in found.values():
        experiment.save(tmp_path)
    again = {requests: Experiment.load(requests, SIZE, tmp_path) for requests in found}
    assert Experiment.load(7, SIZE, tmp_path) is None
    loaded = {requests: each for requests, each in again.items() if each is not None}
    assert targets(Measured(loaded)) == targets(Measured(found))
    draw(loaded, tmp_path / "bulk.png")
    assert (tmp_path / "bulk.png").read_bytes().startswith(b"\x89PNG")


def test_targets_that_are_reached_missed_and_not_measured_are_told_apart() -> None:
    found = _found()
    seen = {each.what: (each.seen, each.reached) for each in targets(Measured(found))}
    cpu = f"CPU at {LARGE:,} requests, the SDK's loop to batch_file"
    assert seen[f"{cpu}, whole processes"] == ("3\u00d7", False)
    assert seen[f"{cpu}, after imports"] == ("4\u00d7", True)
    assert seen[f"{cpu}, beyond one row"] == ("4\u00d7", True)
    assert seen[f"Peak memory of batch_file at {LARGE:,} requests"] == ("190 MB", True)
    assert seen[f"Peak memory of batch_file at {MILLION:,}, to that"] == ("1.21\u00d7", False)
    assert seen[f"Peak memory of the command at {LARGE:,} requests"] == ("not measured", None)
    wall = f"Wall time at {SMALL:,} requests, batch_file to the floor"
    assert seen[f"{wall}, whole processes"] == ("1.5\u00d7", False)
    assert seen[f"{wall}, after imports"] == ("not measured", None)
    assert seen[f"{wall}, beyond one row"] == ("1.25\u00d7", True)
    assert seen[f"CPU a row of batch_file at {MILLION:,}, to that at {LARGE:,}"] == (
        "1.01\u00d7",
        True,
    )
    assert seen[f"Prefect API calls a batch at {MILLION:,}"] == ("16", False)
    assert seen[f"Prefect task runs a batch at {MILLION:,}"] == ("0.3", True)
    assert seen[f"Longest block of the event loop at {LARGE:,}"] == ("90 ms", True)
