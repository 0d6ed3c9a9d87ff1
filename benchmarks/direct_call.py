"""One job through the SDK's own loop, our client, and our flow, side by side on one emulator.

    python -m benchmarks.direct_call [--rounds 3]

Each run is a process of its own, in turn; printed are medians of its CPU, wall time and peak
memory, and the ratio to the SDK's loop. The flow talks to a real Prefect server as well.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from rich.console import Console
from rich.table import Table

SHAPES = {"5,000 x 500 characters": (5_000, 500), "500 x 50 kB": (500, 50_000)}
CONTESTANTS = ("sdk", "client", "flow")


def prompts(count: int, size: int) -> list[str]:
    return [
        (f"{position} " + "lorem ipsum dolor " * (size // 18 + 1))[:size]
        for position in range(count)
    ]


async def sdk(texts: list[str]) -> int:
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic() as client:
        batch = await client.messages.batches.create(
            requests=[
                {
                    "custom_id": f"task-{position}",
                    "params": {
                        "model": "claude-haiku-4-5-20251001",
                        "max_tokens": 1024,
                        "messages": [{"role": "user", "content": text}],
                    },
                }
                for position, text in enumerate(texts)
            ]
        )
        while batch.processing_status != "ended":
            await asyncio.sleep(0.5)
            batch = await client.messages.batches.retrieve(batch.id)
        rows = {row.custom_id: row async for row in await client.messages.batches.results(batch.id)}
        return len([rows[f"task-{position}"] for position in range(len(texts))])


async def client(texts: list[str]) -> int:
    from meshflow_prefect import AnthropicBatchClient, BatchRequest

    requests = [BatchRequest(f"task-{position}", text) for position, text in enumerate(texts)]
    async with AnthropicBatchClient() as anthropic:
        return len(await anthropic.run(requests, poll_interval=0.5))


async def flow(texts: list[str]) -> int:
    from meshflow_prefect import batch_agent_tasks

    return len(await batch_agent_tasks(texts, poll_interval=0.5))


def one(name: str, count: int, size: int) -> None:
    texts = prompts(count, size)
    contestant = {"sdk": sdk, "client": client, "flow": flow}[name]
    start = time.perf_counter()
    assert asyncio.run(contestant(texts)) == count
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "wall s": time.perf_counter() - start,
        "cpu s": used.ru_utime + used.ru_stime,
        "peak MB": used.ru_maxrss / 1024,
    }
    print(json.dumps(figures))


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    from meshflow_prefect.emulator import EmulatorClient
    from tests.support.processes import free_port, running, wait_until
    from tests.support.stack import prefect_stack

    home = Path(tempfile.mkdtemp())
    port = free_port()
    emulator = EmulatorClient(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "meshflow_prefect.cli", "emulator"]
    command += ["--port", str(port), "--batch-seconds", "1"]

    def answers() -> bool:
        try:
            return bool(emulator.state())
        except OSError:
            return False

    with (
        running(command, env=os.environ, log=home / "emulator.log"),
        prefect_stack(home, emulator.environment()) as stack,
    ):
        wait_until(answers, "the emulator answers")
        env = stack.env | {"PREFECT_LOGGING_LEVEL": "WARNING"}
        for title, (count, size) in SHAPES.items():
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
            for _ in range(rounds):
                for name in CONTESTANTS:
                    done = subprocess.run(
                        [
                            sys.executable,
                            "-m",
                            "benchmarks.direct_call",
                            name,
                            str(count),
                            str(size),
                        ],
                        env=env,
                        check=True,
                        stdout=subprocess.PIPE,
                    )
                    runs[name].append(json.loads(done.stdout.splitlines()[-1]))
            show(title, runs)


def show(title: str, runs: dict[str, list[dict[str, float]]]) -> None:
    table = Table("", *runs["sdk"][0], "cpu / sdk", "peak / sdk", title=title)
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in runs.items()
    }
    for name, median in medians.items():
        ratios = [median[key] / medians["sdk"][key] for key in ("cpu s", "peak MB")]
        table.add_row(name, *[f"{value:.2f}" for value in [*median.values(), *ratios]])
    Console(width=100).print(table)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in CONTESTANTS:
        one(arguments[0], int(arguments[1]), int(arguments[2]))
    else:
        main()
