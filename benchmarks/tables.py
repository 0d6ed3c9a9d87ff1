"""The tables: in the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable

from benchmarks.contestants import CONTESTANTS
from benchmarks.experiment import Experiment
from benchmarks.plan import ONE
from benchmarks.targets import Measured, Target

_QUIET = 0.1
_VERDICT = {True: "yes", False: "no", None: ""}


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self) -> RichTable:
        table = RichTable(title=self.title, title_justify="left")
        for number, name in enumerate(self.header):
            table.add_column(name, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_of_targets(targets: Sequence[Target]) -> Table:
    """Return what was to be reached, line by line."""
    rows = [[each.what, each.bound, each.seen, _VERDICT[each.reached]] for each in targets]
    return Table("What was to be reached", ["", "bound", "seen", "reached"], rows)


def table_of_size(experiment: Experiment, measured: Measured) -> Table:
    """Return the medians of one size, a line for each contestant."""
    requests = experiment.requests

    def line(name: str) -> list[str]:
        def of(figure: str) -> float | None:
            return experiment.median(name, figure)

        def ratio(figure: str, to: str, value: Callable[[str, str], float | None]) -> str:
            one, other = value(name, figure), value(to, figure)
            return "" if one is None or not other or other < 0 else f"{one / other:.2f}"

        def work(contestant: str, figure: str) -> float | None:
            return measured.beyond(requests, contestant, figure)

        cpu = work(name, "cpu")
        return [
            CONTESTANTS[name].title,
            _number(of("cpu"), 1),
            _number(of("cpu_after_imports"), 1),
            "" if requests == ONE else _number(cpu, 1e6 / requests),
            ratio("cpu", "sdk", experiment.median),
            "" if requests == ONE else ratio("cpu", "sdk", work),
            _number(of("wall"), 1),
            ratio("wall", "floor", experiment.median),
            "" if requests == ONE else ratio("wall", "floor", work),
            _number(of("peak"), 1),
            _number(of("blocked"), 1000),
            _number(of("emulator_cpu"), 1),
            _number(of("server_cpu"), 1),
            _number(of("api_calls"), 1),
            _number(of("task_runs"), 1),
        ]

    header = [
        "",
        "CPU s",
        "after imports",
        "\u00b5s a row",
        "CPU / SDK",
        "work / SDK",
        "wall s",
        "wall / floor",
        "work / floor",
        "peak MB",
        "blocked ms",
        "emulator CPU s",
        "Prefect CPU s",
        "API calls",
        "task runs",
    ]
    return Table(_title(experiment), header, [line(name) for name in experiment.runs])


def _title(experiment: Experiment) -> str:
    runs = max((len(each) for each in experiment.runs.values()), default=0)
    often = f"medians of {runs}" if runs > 1 else "one run"
    title = f"{experiment.requests:,} \u00d7 {experiment.size:,} bytes, {often}, {experiment.when}"
    if experiment.others > _QUIET:
        title += f", while other processes took {experiment.others:.0%} of the machine"
    return title


def _number(value: float | None, times: float) -> str:
    if value is None:
        return "\u2013"
    value *= times
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
