"""What was to be reached, and what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.experiment import Experiment
from benchmarks.plan import LARGE, MILLION, ONE, SMALL

_TIMES_LESS_CPU = 4.0
_PEAK_MB = 200.0
_TIMES_THE_FLOOR = 1.3
_CALLS_A_BATCH = 15
_BLOCKED_MS = 100.0


@dataclass(frozen=True)
class Target:
    """One line of the table."""

    what: str
    bound: str
    seen: str
    reached: bool | None
    """None: it was not measured."""


class Measured:
    """The medians of all sizes."""

    def __init__(self, experiments: Mapping[int, Experiment]) -> None:
        self._experiments = experiments

    def of(self, requests: int, name: str, figure: str) -> float | None:
        """Return a median, of whole processes."""
        experiment = self._experiments.get(requests)
        return None if experiment is None else experiment.median(name, figure)

    def beyond(self, requests: int, name: str, figure: str) -> float | None:
        """Return what a median is beyond the same contestant's run of one row."""
        return self._beyond_one(self.of(requests, name, figure), name, figure)

    def growth(self, name: str, figure: str) -> float | None:
        """Return what a row costs at a million beyond one row, to what it does at the size before.

        Both are of runs in turn; see `Step.beside`.
        """
        million = self._experiments.get(MILLION)
        if million is None:
            return None
        before = self._beyond_one(million.median_beside(name, figure), name, figure)
        ratio = _ratio(self.beyond(MILLION, name, figure), before)
        return None if ratio is None else ratio * LARGE / MILLION

    def _beyond_one(self, whole: float | None, name: str, figure: str) -> float | None:
        one = self.of(ONE, name, figure)
        return None if whole is None or one is None else whole - one


def targets(measured: Measured) -> list[Target]:
    """Return every line of the table, for `batch_file`."""
    return [
        *_cpu(measured),
        *_peak(measured),
        *_wall(measured),
        *_growth(measured),
        *_prefect(measured),
        *_blocked(measured),
    ]


def _cpu(measured: Measured) -> Iterator[Target]:
    what = f"CPU at {LARGE:,} requests, the SDK's loop to batch_file"
    for kind, of in _readings(measured, LARGE, "cpu"):
        yield _at_least(f"{what}, {kind}", _TIMES_LESS_CPU, _ratio(of("sdk"), of("files")))


def _peak(measured: Measured) -> Iterator[Target]:
    for name, title in (("files", "batch_file"), ("command", "the command")):
        large, million = (measured.of(size, name, "peak") for size in (LARGE, MILLION))
        what = f"Peak memory of {title} at {LARGE:,} requests"
        yield _below(what, _PEAK_MB, large, "MB")
        ratio = _ratio(million, large)
        yield _within(f"Peak memory of {title} at {MILLION:,}, to that", 0.2, ratio)


def _wall(measured: Measured) -> Iterator[Target]:
    what = f"Wall time at {SMALL:,} requests, batch_file to the floor"
    for kind, of in _readings(measured, SMALL, "wall"):
        yield _below(
            f"{what}, {kind}", _TIMES_THE_FLOOR, _ratio(of("files"), of("floor")), "\u00d7"
        )


def _growth(measured: Measured) -> Iterator[Target]:
    for name, title in (("files", "batch_file"), ("command", "the command")):
        what = f"CPU a row of {title} at {MILLION:,}, to that at {LARGE:,}"
        yield _within(what, 0.1, measured.growth(name, "cpu"))


def _prefect(measured: Measured) -> Iterator[Target]:
    batches = measured.of(MILLION, "files", "batches")
    for figure, what in (("api_calls", "Prefect API calls"), ("task_runs", "Prefect task runs")):
        each = _ratio(measured.of(MILLION, "files", figure), batches)
        yield _below(f"{what} a batch at {MILLION:,}", _CALLS_A_BATCH, each, "")


def _blocked(measured: Measured) -> Iterator[Target]:
    for requests in (LARGE, MILLION):
        seconds = measured.of(requests, "files", "blocked")
        what = f"Longest block of the event loop at {requests:,}"
        yield _below(what, _BLOCKED_MS, None if seconds is None else seconds * 1000, "ms")


def _readings(
    measured: Measured, requests: int, figure: str
) -> Iterator[tuple[str, Callable[[str], float | None]]]:
    """Yield the ways to read a figure of a contestant, from all that it costs to the rows alone."""
    yield "whole processes", lambda name: measured.of(requests, name, figure)
    yield "after imports", lambda name: measured.of(requests, name, f"{figure}_after_imports")
    yield "beyond one row", lambda name: measured.beyond(requests, name, figure)


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _at_least(what: str, bound: float, seen: float | None) -> Target:
    reached = None if seen is None else seen >= bound
    return Target(what, f"{bound:g}\u00d7 less", _shown(seen, "\u00d7"), reached)


def _below(what: str, bound: float, seen: float | None, unit: str) -> Target:
    reached = None if seen is None else seen <= bound
    return Target(what, f"at most {_shown(bound, unit)}", _shown(seen, unit), reached)


def _within(what: str, share: float, seen: float | None) -> Target:
    reached = None if seen is None else abs(seen - 1) <= share
    return Target(what, f"\u00b1 {share:.0%}", _shown(seen, "\u00d7"), reached)


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return number + unit if unit == "\u00d7" else f"{number} {unit}".strip()
