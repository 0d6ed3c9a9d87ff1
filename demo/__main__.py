"""Run the demo: a Prefect server, a worker, the emulator, and a pipeline that suspends."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from argparse import ArgumentParser
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from meshflow_prefect.emulator import EmulatorClient
from tests.support.processes import free_port, processes_of_run, running, wait_until
from tests.support.stack import Stack, prefect_stack

console = Console(highlight=False)
started = time.monotonic()


def say(text: str) -> None:
    """Print a line with the time since the start."""
    console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {text}")


def demo(home: Path, *, stay: bool) -> None:
    """Tell the story of one run."""
    port = free_port()
    emulator = EmulatorClient(f"http://127.0.0.1:{port}")
    notes, results = home / "notes.jsonl", home / "results.jsonl"
    env = {
        **emulator.environment(),
        "DEMO_NOTES": str(notes),
        "DEMO_RESULTS": str(results),
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "meshflow_prefect.cli", "emulator", "--port", str(port)]
    say("Starting the emulator of Anthropic's API, a Prefect server and a worker …")
    with (
        running([*command, "--batch-seconds", "12"], env=os.environ, log=home / "emulator.log"),
        prefect_stack(home, env, ui=True) as prefect,
        prefect.worker("demo"),
    ):
        wait_until(lambda: answers(emulator), "the emulator answers")
        ui = prefect.api_url.removesuffix("/api")
        deployment = prefect.deploy("pipeline.py:pipeline", directory=Path(__file__).parent)
        run_id = prefect.start(deployment)
        say(f"The pipeline is deployed and started. Watch it: [link]{ui}/runs/flow-run/{run_id}[/]")
        follow(prefect, run_id, emulator, notes)
        tell_states(prefect, run_id)
        tell_results([json.loads(line) for line in results.read_text().splitlines()])
        batches = emulator.batches()
        say(f"Batches made at Anthropic (the emulator) in all: [bold]{len(batches)}[/].")
        if stay:
            say(f"The UI is up at {ui} until you press Enter.")
            input()


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
        f"[magenta]{run.state.name}[/], scheduled for {wake:%H:%M:%S %Z}; Anthropic works."
    )
    second = wait_until(lambda: next((p for p in pids(notes) if p != first), None), "a wake")
    say(f"The worker resumed the run in process [bold]{second}[/], which asked for the batch.")
    run = prefect.finish(run_id)
    steps = [line["step"] for line in lines(notes)]
    say(
        f"The batch had ended; its results went to `load` in process {lines(notes)[-1]['pid']}. "
        f"`extract` ran {steps.count('extract')} time, run_count is {run.run_count}."
    )


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
    raise KeyboardInterrupt


def main() -> None:
    """Run the demo in a folder of its own, which is removed at the end."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--stay", action="store_true", help="keep the UI up until Enter is pressed")
    stay = parser.parse_args().stay
    signal.signal(signal.SIGTERM, interrupted)
    try:
        with tempfile.TemporaryDirectory(prefix="meshflow-demo-") as home:
            demo(Path(home), stay=stay)
    except KeyboardInterrupt:
        say("Interrupted. Every process of the demo has been ended.")
        raise SystemExit(130) from None
    say("Done. Every process of the demo has been ended.")


main()
