"""An eval's report as a page of markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshflow_prefect.uses.eval_report import EvalReport
from meshflow_prefect.uses.markdown import bars, escaped, money, percent, table
from meshflow_prefect.uses.spending import Spending

_RUNS = 15
"""How many of the last runs are shown."""


def page_of(report: EvalReport) -> str:
    """Return the page, whose length does not grow with the cases."""
    return "\n".join((*_verdict(report), *_figures(report), *_trend(report), *_failures(report)))


def _verdict(report: EvalReport) -> Iterator[str]:
    title, asked = f"# {escaped(report.name)}: {report.score:.3f}", ""
    if report.threshold is not None:
        title += ", passed" if report.passed else ", **below the threshold**"
        asked = f", threshold {report.threshold:.3f}"
    yield title
    yield ""
    yield (
        f"{report.cases:,} cases of {escaped(report.dataset)}, asked of {escaped(report.model)}, "
        f"graded by {escaped(report.grader)}{asked}."
    )
    if report.comparison is not None:
        yield ""
        said = escaped(str(report.comparison), most=400)
        yield f"{said[:1].upper()}{said[1:]}."
    yield ""


def _figures(report: EvalReport) -> Iterator[str]:
    score, rate = report.interval, report.pass_interval
    yield from table(
        ["", "", "95 % interval"],
        [
            ["score", f"{report.score:.3f}", f"{score.low:.3f} to {score.high:.3f}"],
            [
                "pass rate",
                percent(report.pass_rate),
                f"{percent(rate.low)} to {percent(rate.high)}",
            ],
            ["passed", f"{report.passed_cases:,} of {report.cases:,}", ""],
            ["not graded", f"{report.ungraded:,}", ""],
            ["refused", f"{report.refused:,}", ""],
            *([status, f"{count:,}", ""] for status, count in report.statuses.items()),
        ],
        right=2,
    )
    yield ""
    spent = [_spent("replies", report.evaluated)]
    if report.judged.requests:
        spent += [_spent("judge", report.judged), _spent("together", report.spent)]
    head = ["", "requests", "input tokens", "output tokens", "cost"]
    yield from table(head, spent, right=4)
    yield ""


def _spent(name: str, spent: Spending) -> list[str]:
    counts = (spent.requests, spent.input_tokens, spent.output_tokens)
    return [name, *(f"{count:,}" for count in counts), money(spent.cost_usd)]


def _trend(report: EvalReport) -> Iterator[str]:
    if not report.trend:
        return
    runs = report.trend[-_RUNS:]
    yield f"## Last runs {bars([run.score for run in runs])}"
    yield ""
    yield from table(
        ["when", "model", "result", "score", "95 % interval", "passed", "cost"],
        [
            [
                escaped(run.at[:16].replace("T", " ")),
                escaped(run.model),
                "passed" if run.passed else "below",
                f"{run.score:.3f}",
                f"{run.low:.3f} to {run.high:.3f}",
                f"{run.passed_cases:,} of {run.cases:,}",
                money(run.cost_usd),
            ]
            for run in reversed(runs)
        ],
        right=4,
    )
    yield ""


def _failures(report: EvalReport) -> Iterator[str]:
    count = report.cases - report.passed_cases
    if not count:
        return
    shown = report.failures
    more = f", {len(shown)} of {count:,}" if len(shown) < count else ""
    yield f"## Cases that did not pass{more}"
    yield ""
    yield from table(
        ["case", "why", "score"],
        [
            [
                escaped(grade.id, most=60),
                escaped(grade.reason),
                f"{grade.score:.2f}" if grade.is_graded else "–",
            ]
            for grade in shown
        ],
        right=1,
    )
