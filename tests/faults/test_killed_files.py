"""A file job whose processes are SIGKILLed sends each chunk once and writes the same bytes."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshflow_prefect.emulator import Emulator
from tests.faults.matrix import Row
from tests.faults.outcome import position_of
from tests.support.bystander import Bystander
from tests.support.files import counting, run_file, sizes, write_rows
from tests.support.halting import Halt, Moment
from tests.support.killing import kill_run
from tests.support.pools import own_worker
from tests.support.processes import running, wait_until
from tests.support.stack import Stack

CHUNKS, PER_CHUNK = 10, 300
KILLS, MOST_CALLS, SECONDS = 5, 12, 0.3
"""At random: so many calls of the API after the process has begun, and so much later, at most."""

RESULTS = "spools/job-*/results-*"
SAME = "the output is that of an undisturbed run"


@dataclass
class Scene:
    """A job in a folder, and what is seen of it from outside."""

    folder: Path
    stack: Stack
    emulator: Emulator
    notes: Callable[..., list[dict[str, Any]]]
    run_id: str = ""

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"

    @property
    def env(self) -> dict[str, str]:
        return {**self.emulator.environment(), "MESHFLOW_SPOOL": str(self.folder / "spools")}

    def is_there(self, pattern: str) -> bool:
        return any(self.folder.glob(pattern))

    def begins(self) -> None:
        """Wait until one more process of the run has come to the flow."""
        known = len(self.notes(self.run_id, "start"))
        wait_until(lambda: len(self.notes(self.run_id, "start")) > known, "the flow begins")

    def calls(self, more: int) -> None:
        """Wait until the API has been called so often, or the call that is held has come."""
        known = sum(self.emulator.state()["calls"].values())
        wait_until(
            lambda: sum(self.emulator.state()["calls"].values()) >= known + more or self.is_held(),
            f"{more} calls",
        )

    def is_held(self) -> bool:
        return any(fault["held"] for fault in self.emulator.faults())

    def holds(self, operation: str, after: int, when: str = "before") -> None:
        """Have the API hold such a call after so many others."""
        self.emulator.plan({"on": operation, "skip": after, "hold": when})

    def comes_to_it(self) -> None:
        """Wait until the call that is held has come."""
        wait_until(self.is_held, "a call is held")

    def kill_before(
        self, moment: Moment, pattern: str, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """SIGKILL the run just before it does this to such a file, as soon as it comes to that."""
        halt = Halt(self.folder)
        halt.order(moment, f"{self.folder}/{pattern}".rstrip("/"))
        wait_until(lambda: meanwhile() or halt.is_obeyed, f"it is about to {moment} {pattern}")
        assert kill_run(self.run_id)


@pytest.fixture(scope="module")
def instant() -> Iterator[Emulator]:
    """An API whose batches have ended at the first look: a job is one process long."""
    with Emulator(batch_seconds=0.01) as emulator:
        yield emulator


@pytest.fixture
def scene(tmp_path: Path, stack: Stack, instant: Emulator, notes: Any) -> Scene:
    return Scene(tmp_path, stack, instant, notes)


@pytest.fixture
def job(tmp_path: Path, instant: Emulator) -> dict[str, object]:
    """The parameters of a job of ten chunks."""
    instant.reset()
    source = write_rows(tmp_path / "in.jsonl", counting(CHUNKS * PER_CHUNK, more="x" * 100))
    destination = str(tmp_path / "out.jsonl")
    return {"source": source, "destination": destination, "requests_per_batch": PER_CHUNK}


@pytest.fixture
async def undisturbed(
    stack: Stack, own_storage: Path, job: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> bytes:
    """What a run writes that nobody kills, against an emulator as new."""
    destination = Path(str(job["destination"])).with_name("undisturbed.jsonl")
    limits = dict.fromkeys(("max_requests_per_batch", "max_requests_in_queue"), PER_CHUNK)
    with Emulator(batch_seconds=0.01) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        await run_file(job["source"], destination, include_input=True, **limits)
        assert sizes(emulator) == [PER_CHUNK] * CHUNKS
    return destination.read_bytes()


def test_a_file_job_that_is_killed_in_chunk_7_and_at_its_end_is_retried_and_sends_no_chunk_twice(
    scene, job, undisturbed, matrix
):
    stack, emulator = scene.stack, scene.emulator
    scene.holds("create", 6, "after")
    with own_worker(stack, "files", emulator, MESHFLOW_SPOOL=scene.env["MESHFLOW_SPOOL"]):
        scene.run_id = stack.start(stack.deploy("files.py:killed_file"), **job)
        bystander = Bystander(stack, scene.run_id)
        scene.comes_to_it()
        kill_run(scene.run_id)
        emulator.clear_faults()
        assert len(emulator.batches()) == 7

        scene.kill_before("open", f"{RESULTS}/results-00006-1.*.index", bystander.look)
        assert scene.is_there(f"{RESULTS}/results-00006-1.*.jsonl")
        assert not scene.is_there(f"{RESULTS}/results-00006-1.json")

        # The folder is brought to disk when the output has been moved to its place.
        scene.kill_before("open", "", bystander.look)
        assert scene.output.exists()
        # Its worker may have told of the death already: it is Running or Crashed, but not done.
        assert stack.read(scene.run_id).state.name in ("Running", "Crashed")

        run = bystander.see_to_the_end(240)

    assert run.state.name == "Completed", stack.logs(scene.run_id)
    assert len(bystander.seen) == 3
    assert not bystander.failures
    assert scene.output.read_bytes() == undisturbed
    assert not scene.is_there("spools/*")
    fault = "bulk: a run of 10 chunks is killed in the create call of chunk 7, while it collects "
    fault += "chunk 7, and when the output is written"
    matrix(row(emulator, fault, f"Crashed, Retry, three times, then Completed; {SAME}"))


@pytest.mark.long
def test_a_file_job_that_is_killed_as_it_reads_as_it_writes_and_at_random_sends_no_chunk_twice(
    scene, job, undisturbed, matrix, pytestconfig
):
    """Each time another process takes over at once, while Prefect takes the run for running."""
    seed, moments = pytestconfig.getoption("--seed"), []
    rng = random.Random(seed)
    stack, emulator = scene.stack, scene.emulator
    scene.run_id = pending(stack, job)
    # No process comes to the end before it is killed.
    emulator.plan({"on": "create", "skip": 9, "times": None, "hold": "before"})
    with execution(scene):
        scene.kill_before("open", "spools/job-*/.spool-*.part/chunk-00005.json")
        assert scene.is_there("spools/job-*/.spool-*.part/chunk-00004.json")
        assert not scene.is_there("spools/job-*/spool-*")
    for _ in range(KILLS):
        with execution(scene):
            scene.begins()
            calls, seconds = rng.randint(0, MOST_CALLS), rng.uniform(0.0, SECONDS)
            scene.calls(calls)
            time.sleep(seconds)  # the moment itself
            assert kill_run(scene.run_id)
            moments.append(f"{calls} calls and {seconds:.2f} s")
    made = len(emulator.batches())
    emulator.clear_faults()
    with execution(scene):
        scene.kill_before("os.rename", ".out.jsonl.*.part")
        assert scene.is_there(".out.jsonl.*.part")
        assert not scene.output.exists()
    with execution(scene) as last:
        wait_until(lambda: last.poll() is not None, "the last execution has left")

    print(f"seed {seed}: killed {', '.join(moments)} after the flow's begin; {made} batches made")
    assert stack.read(scene.run_id).state.name == "Completed", stack.logs(scene.run_id)
    assert scene.output.read_bytes() == undisturbed
    fault = f"bulk: a run of 10 chunks is killed while it reads, at {KILLS} random moments (seed "
    fault += f"{seed}), and while it writes"
    matrix(row(emulator, fault, f"Completed; {SAME}"))


def test_two_executions_of_one_file_job_on_one_spool_send_no_chunk_twice(
    scene, job, undisturbed, matrix
):
    """All the way: the one that is done first leaves the other what it needs."""
    stack, emulator = scene.stack, scene.emulator
    scene.run_id = pending(stack, job)
    scene.holds("create", 2, "after")
    with execution(scene) as zombie:
        scene.comes_to_it()
        with execution(scene) as successor:
            scene.begins()
            emulator.release()
            wait_until(lambda: zombie.poll() is not None, "the zombie has left")
            wait_until(lambda: successor.poll() is not None, "its successor has left")

    names = [state.name for state in stack.states(scene.run_id)]
    assert names[-1] == "Completed", stack.logs(scene.run_id)
    assert not {"Failed", "Crashed"} & set(names)
    assert scene.output.read_bytes() == undisturbed
    assert not scene.is_there("spools/*")
    fault = "bulk: two processes execute a run of 10 chunks at once, in one spool folder"
    matrix(row(emulator, fault, f"Completed; {SAME}"))


def test_tasks_in_several_batches_are_sent_once_when_the_third_is_killed(scene, matrix):
    emulator = scene.emulator
    emulator.reset()
    scene.run_id = pending(scene.stack, {"count": 8, "per_batch": 2}, "killed.py:killed")
    scene.holds("create", 2, "after")
    with execution(scene):
        scene.comes_to_it()
        kill_run(scene.run_id)
    emulator.clear_faults()
    with execution(scene) as last:
        wait_until(lambda: last.poll() is not None, "the last execution has left")

    (noted,) = scene.notes(scene.run_id, "rows")
    assert [position_of(row) for row in noted["rows"]] == list(range(8))
    assert sizes(emulator) == [2] * 4
    fault = "8 tasks in 4 batches: the run is killed in the create call of the third"
    matrix(Row("kills", fault, "Completed", created=4, paid=4, lost=8 - len(noted["rows"])))


def pending(stack: Stack, parameters: dict[str, object], flow: str = "files.py:killed_file") -> str:
    """A run that no worker takes."""
    pool, stack.pool = stack.pool, "nobody"
    try:
        stack.create_pool()
        return stack.start(stack.deploy(flow, name="nobody"), **parameters)
    finally:
        stack.pool = pool


@contextmanager
def execution(scene: Scene) -> Iterator[subprocess.Popen[bytes]]:
    """A process that executes the run, as a worker starts it."""
    command = scene.stack.execution(scene.run_id)
    log = scene.folder / "execution.log"
    with running(command, env=scene.stack.env | scene.env, log=log) as process:
        yield process


def row(emulator: Emulator, fault: str, seen: str) -> Row:
    assert sizes(emulator) == [PER_CHUNK] * CHUNKS
    made = len(emulator.batches())
    return Row("kills", fault, seen, created=made, paid=made, lost=0)
