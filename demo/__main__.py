"""Run the demo: a Prefect server, a worker, the emulator, and a pipeline that suspends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from meshflow_prefect.emulator import EmulatorClient
from tests.support.processes import (
    free_port,
    processes_of_run,
    processes_with,
    running,
    wait_until,
)
from tests.support.stack import Stack, prefect_stack

ROOT = Path(__file__).parents[1]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

console = Console(highlight=False)
started = time.monotonic()


def say(text: str) -> None:
    """Print a line with the time since the start."""
    console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {text}", soft_wrap=True)


def demo(home: Path, *, stay: bool) -> None:
    """Tell the story of one run."""
    port = free_port()
    emulator = EmulatorClient(f"http://127.0.0.1:{port}")
    notes, results = home / "notes.jsonl", home / "results.jsonl"
    (home / "tmp").mkdir()
    env = {
        **emulator.environment(),
        "DEMO_HOME": str(home),
        "DEMO_NOTES": str(notes),
        "DEMO_RESULTS": str(results),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "TMPDIR": str(home / "tmp"),
    }
    command = [sys.executable, "-m", "meshflow_prefect.cli", "emulator", "--port", str(port)]
    say("Starting the emulator of Anthropic's API, a Prefect server and a worker …")
    with (
        running(
            [*command, "--batch-seconds", "15"], env=os.environ | env, log=home / "emulator.log"
        ),
        prefect_stack(home, env, ui=True) as prefect,
    ):
        prefect.pool = "meshflow"
        prefect.create_pool()
        with prefect.worker("demo"):
            deploy(prefect)
            wait_until(lambda: answers(emulator), "the emulator answers")
            ui = prefect.api_url.removesuffix("/api")
            run_id = prefect.start(
                wait_until(lambda: prefect.find("pipeline/demo"), "a deployment")
            )
            say(f"The pipeline is deployed and started: {ui}/runs/flow-run/{run_id}")
            follow(prefect, run_id, emulator, notes)
            tell_states(prefect, run_id)
            tell_results([json.loads(line) for line in results.read_text().splitlines()])
            made = len(emulator.batches())
            say(f"Batches made at Anthropic (the emulator) in all: [bold]{made}[/].")
            if stay:
                say(f"The UI is up at {ui} until you press Enter.")
                with suppress(EOFError):
                    input()
            ignore_signals()


def deploy(prefect: Stack) -> None:
    """Deploy the pipeline, as a user does."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    command += ["--prefect-file", str(Path(__file__).with_name("prefect.yaml"))]
    with (prefect.home / "deploy.log").open("wb") as log:
        subprocess.run(  # noqa: S603  (a command of our own)
            command, cwd=ROOT, env=prefect.env, stdout=log, stderr=log, check=True
        )


def follow(prefect: Stack, run_id: str, emulator: EmulatorClient, notes: Path) -> None:
    """Say what happens until the run has completed."""
    batch = wait_until(lambda: next(iter(emulator.batches()), None), "a batch is submitted")
    first = pids(notes)[0]
    say(f"Process [bold]{first}[/] ran `extract` and submitted batch [cyan]{batch['id']}[/].")
    prefect.wait_for_state(run_id, "Suspended", "Resuming")
    wait_until(lambda: not processes_of_run(run_id), "the process has ended")
    run = prefect.read(run_id)
    assert run.state is not None
    wake = run.state.state_details.scheduled_time
    say(
        f"Process {first} [bold]has ended[/]: the process table has none of this run. The run is "
        f"[magenta]{run.state.name}[/] until {wake:%H:%M:%S %Z}, while Anthropic works."
    )
    second = wait_until(lambda: next((p for p in pids(notes) if p != first), None), "a wake")
    say(
        f"Prefect's schedule woke it: the worker took it at {taken(prefect, run_id):%H:%M:%S} and "
        f"[bold]resumed the run in process {second}[/], which asked for the batch."
    )
    run = prefect.finish(run_id)
    steps = [line["step"] for line in lines(notes)]
    say(
        f"The batch had ended; its results went to `load` in process {lines(notes)[-1]['pid']}. "
        f"`extract` ran {steps.count('extract')} time, run_count is {run.run_count}."
    )


def taken(prefect: Stack, run_id: str) -> datetime:
    """Return when a worker last took the run."""
    return max(s.timestamp for s in prefect.states(run_id) if s.name == "Pending")


def tell_states(prefect: Stack, run_id: str) -> None:
    """Print which states the run has been in, and when."""
    table = Table("time", "state", "what it means", title="The run's states")
    meaning = {
        "Scheduled": "waits for a worker",
        "Pending": "a worker took it",
        "Submitting": "the worker starts a process",
        "Running": "a process runs the flow",
        "Suspended": "no process; Anthropic works",
        "Resuming": "Prefect starts it again at its time",
        "Completed": "done",
    }
    for state in prefect.states(run_id):
        table.add_row(f"{state.timestamp:%H:%M:%S}", state.name, meaning.get(state.name or "", ""))
    console.print(table)


def tell_results(rows: list[dict[str, Any]]) -> None:
    """Print the results and what they cost."""
    from meshflow_prefect.pricing import cost_of

    table = Table(
        "custom_id", "output", "tokens", "US$", title="Results, in the order of the tasks"
    )
    for row in rows:
        output = row["output"] if len(row["output"]) < 60 else row["output"][:59] + "…"
        table.add_row(row["custom_id"], output, str(row["tokens"]), f"{row['cost_usd']:.7f}")
    console.print(table)
    paid = sum(Decimal(repr(row["cost_usd"])) for row in rows)
    standard = [cost_of(row["model"], row["usage"], tier="standard") for row in rows]
    without = sum(cost for cost in standard if cost is not None)
    say(f"Cost: [bold]US$ {paid:f}[/]; at the standard price it would be US$ {without:f}.")


def lines(notes: Path) -> list[dict[str, Any]]:
    """Return what the pipeline noted so far."""
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def pids(notes: Path) -> list[int]:
    """Return the processes that ran the pipeline, in order."""
    return [line["pid"] for line in lines(notes)]


def answers(emulator: EmulatorClient) -> bool:
    """Whether the emulator is up."""
    with suppress(OSError):
        return bool(emulator.state())
    return False


def interrupted(_number: int, _frame: object) -> NoReturn:
    """End as on Ctrl-C, so that every child is ended too."""
    ignore_signals()
    raise KeyboardInterrupt


def ignore_signals() -> None:
    """Let nothing cut the ending short: processes would be left behind."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_what_is_left(home: Path) -> None:
    """Make sure of it: a signal may have come between the start of a process and its record."""
    mark = f"DEMO_HOME={home}"
    for pid in processes_with(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes_with(mark), "every process of the demo has ended")


def tell_logs(home: Path) -> None:
    """Print the ends of the logs, which go with the folder."""
    for log in sorted(home.glob("*.log")):
        console.rule(log.name)
        console.print(*log.read_text().splitlines()[-30:], sep="\n", markup=False)


def main() -> None:
    """Run the demo in a folder of its own, which is removed at the end."""
    parser = ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="keep the UI up until Enter is pressed")
    stay = parser.parse_args().stay
    for number in SIGNALS:
        signal.signal(number, interrupted)
    ended = "Done."
    with tempfile.TemporaryDirectory(prefix="meshflow-demo-", ignore_cleanup_errors=True) as name:
        try:
            demo(Path(name), stay=stay)
        except KeyboardInterrupt:
            ended = "Interrupted."
        except Exception:
            tell_logs(Path(name))
            raise
        finally:
            end_what_is_left(Path(name))
    say(f"{ended} Every process of the demo has been ended, and its folder removed.")
    raise SystemExit(0 if ended == "Done." else 130)


if __name__ == "__main__":
    main()
