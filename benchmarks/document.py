"""docs/benchmarks.md, as the command writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.experiment import Experiment
from benchmarks.tables import Table

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"

_HEAD = """\
<!-- Written by `make bench`: change benchmarks/document.py, not this file. -->
# Benchmarks

`make bench` runs the same job in several ways and writes this page; `make bench MILLION=1` adds a
million requests. Every contestant reads the same JSONL file and writes a JSONL file of as many rows
in the order of the input, which is checked after every run.

![CPU, peak memory, and memory over time](images/bulk.png)
"""
_HOW = """\
## How it is measured

- Each run is a process of its own. In each round every contestant runs once, and each round begins
  with another one. The figures are medians of whole processes, imports included.
- *after imports* leaves out what Python does to load the libraries, whenever it does, and to put
  them away when the process ends: what is left is to submit and to collect, with all that a flow
  run costs. *work* is what a run costs beyond a run of one row by the same contestant (*beyond one
  row*): no imports, and no fixed cost of a flow run.
- Before each run of a million the same contestant runs 100,000 rows once more, and *CPU a row at
  1,000,000, to that at 100,000* is to these: within an hour the same run cost a quarter more and
  less.
- All talk to the same emulator of the API, whose batches end after one second, and to the same
  Prefect server. Both are processes of their own; their CPU is in columns of its own and in no
  other. All look at a batch twice a second.
- Peak memory is the most that was resident (`VmHWM`), with child processes.
- *blocked* is the longest time by which a sleep of 5 ms on the contestant's event loop ended late,
  in one more run: so many sleeps cost CPU. The floor has no event loop, and into the command's
  nobody can look.
- A heading says so where processes that have nothing to do with it took more than a tenth of the
  machine: wall times are longer then, and CPU is a little more.
- *API calls* are the HTTP requests in the access log of the Prefect server.
- The floor is what can be written by hand with httpx and orjson: it holds all requests and all
  results, knows no faults, and survives nothing.
"""


def write_document(
    targets: Table, sizes: Sequence[Table], experiments: Sequence[Experiment]
) -> None:
    """Write the page."""
    parts = [_HEAD, f"## {targets.title}\n\n{targets.markdown()}\n"]
    parts += [f"## {table.title}\n\n{table.markdown()}\n" for table in sizes]
    machines = sorted({f"{each.machine}; {each.versions}" for each in experiments})
    parts += [_HOW, "\n".join(f"Machine: {machine}." for machine in machines) + "\n"]
    DOCUMENT.write_text("\n".join(parts))
