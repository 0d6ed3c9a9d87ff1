"""The picture in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contestants import CONTESTANTS
from benchmarks.experiment import Experiment
from benchmarks.plan import LARGE, MILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGE = Path(__file__).parents[1] / "docs" / "images" / "bulk.png"
_COLOURS = {
    "floor": "#9aa5b1",
    "sdk": "#d97757",
    "client": "#7aa874",
    "tasks": "#4f8a8b",
    "files": "#2f5d8a",
    "command": "#7b5ea7",
}
_INK = "#333333"


def draw(experiments: Mapping[int, Experiment], image: Path = IMAGE) -> None:
    """Draw CPU and peak memory at 100,000 requests, and memory over time up to a million."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    large = experiments[LARGE]
    figure, (cpu, peak, time) = plt.subplots(
        1, 3, figsize=(12, 3.6), width_ratios=(1, 1, 1.4), layout="constrained"
    )
    _bars(cpu, large, "cpu", f"CPU, {LARGE:,} requests", "s")
    _bars(peak, large, "peak", f"Peak memory, {LARGE:,} requests", "MB")
    _over_time(time, experiments)
    for axes in (cpu, peak, time):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=9)
    figure.savefig(image, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _bars(axes: Axes, experiment: Experiment, figure: str, title: str, unit: str) -> None:
    names = list(reversed(experiment.runs))
    values = [experiment.median(name, figure) or 0.0 for name in names]
    bars = axes.barh(
        [CONTESTANTS[name].title for name in names],
        values,
        color=[_COLOURS[name] for name in names],
        height=0.62,
    )
    axes.bar_label(bars, [f" {value:,.0f} {unit}" for value in values], fontsize=9, color=_INK)
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xlim(0, max(values) * 1.25)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(left=False)


def _over_time(axes: Axes, experiments: Mapping[int, Experiment]) -> None:
    lines = [(LARGE, "sdk"), (LARGE, "files"), (MILLION, "command")]
    for requests, name in lines:
        runs = experiments[requests].runs.get(name, ()) if requests in experiments else ()
        for run in runs[:1]:
            seconds, sizes = zip(*run.memory, strict=True)
            axes.plot(
                seconds,
                sizes,
                color=_COLOURS[name],
                linestyle="--" if requests == MILLION else "-",
                linewidth=1.6,
                label=f"{CONTESTANTS[name].title}, {requests:,}",
            )
    axes.set_title("Memory over time", loc="left", fontsize=10, color=_INK)
    axes.set_xscale("log")
    axes.set_xlabel("seconds", fontsize=9, color=_INK)
    axes.set_ylabel("MB", fontsize=9, color=_INK)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=1)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
