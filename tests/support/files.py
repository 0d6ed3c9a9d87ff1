"""Files of rows for file jobs: written, and their output read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from meshflow_prefect import batch_file
from meshflow_prefect.bulk.summary import FileSummary
from meshflow_prefect.emulator import EmulatorClient
from tests.support.jobs import SOON

PROMPT = "Name the number {n}."


def write_rows(path: Path, rows: Iterable[object]) -> str:
    """Write JSON lines; bytes stand as they are. Returns the path as a text."""
    lines = (row if isinstance(row, bytes) else orjson.dumps(row) for row in rows)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def counting(count: int, **more: Any) -> list[dict[str, Any]]:
    """Return rows whose prompt is `PROMPT`."""
    return [{"n": n, **more} for n in range(count)]


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines."""
    return [orjson.loads(line) for line in Path(path).read_bytes().split(b"\n") if line]


def numbers(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return which number each reply names: of `PROMPT` the emulator's replies repeat it."""
    return [int(row["output"].partition("the number ")[2].partition("”")[0]) for row in rows]


def sizes(emulator: EmulatorClient) -> list[int]:
    """Return the number of requests in each batch, in the order of their creation."""
    return [batch["requests"] for batch in emulator.batches()][::-1]


async def run_file(source: object, destination: object, **options: Any) -> FileSummary:
    """Run a file job without patience; `PROMPT` is asked unless something else is."""
    options = {"prompt": PROMPT, "poll_interval": SOON, **options}
    summary: FileSummary = await batch_file(str(source), str(destination), **options)
    return summary
