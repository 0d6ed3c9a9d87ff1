"""An A/B test's report as a page of markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshflow_prefect.reporting import counted
from meshflow_prefect.significance import Interval, PairedDifference, chance
from meshflow_prefect.uses.ab_report import ABReport, PairOutcome, VariantOutcome
from meshflow_prefect.uses.markdown import escaped, percent, table

_SHOWN = 5
"""How many cases are shown for each side of a comparison."""


def page_of(report: ABReport) -> str:
    """Return the page, whose length does not grow with the cases."""
    return "\n".join((*_verdict(report), *_variants(report), *_pairs(report)))


def _verdict(report: ABReport) -> Iterator[str]:
    yield f"# {escaped(report.name)}: {_headline(report)}"
    yield ""
    yield (
        f"{report.cases:,} cases of {escaped(report.dataset)}, compared by "
        f"{escaped(report.grader)}."
    )
    yield ""
    for pair in report.pairs:
        yield f"- {escaped(pair.verdict, most=400)}. {escaped(pair.expense)}."
    if report.correction:
        yield ""
        yield f"{report.correction}."
    yield ""


def _headline(report: ABReport) -> str:
    if report.winner:
        return f"{escaped(report.winner)} is best"
    better = [f"{pair.better} better than {pair.worse}" for pair in report.pairs if pair.better]
    return escaped(", ".join(better)) if better else "no significant difference"


def _variants(report: ABReport) -> Iterator[str]:
    yield "## Variants"
    yield ""
    yield from table(
        ["variant", "model", "score", "95 % interval", "replies", "refused", "tokens", "cost"],
        [_variant(each, report.cases) for each in report.variants],
        right=6,
    )
    yield ""
    judge = report.judged
    yield (
        f"The judge: {counted(judge.requests, 'request')}, {judge.tokens:,} tokens, {judge.cost}. "
        f"All together {report.spent.cost}."
        if judge.requests
        else f"All together {report.spent.cost}."
    )
    yield ""


def _variant(each: VariantOutcome, cases: int) -> list[str]:
    return [
        escaped(each.name),
        escaped(each.model),
        "–" if each.score is None else f"{each.score:.3f}",
        "–" if each.interval is None else _range(each.interval, ".3f"),
        f"{each.replies:,} of {cases:,}",
        f"{each.refused:,}",
        f"{each.spent.tokens:,}",
        each.spent.cost,
    ]


def _pairs(report: ABReport) -> Iterator[str]:
    for pair in report.pairs:
        found = pair.comparison
        yield f"## {escaped(pair.b)} against {escaped(pair.a)}"
        yield ""
        rate = "–" if found.interval is None else _shares(found.interval)
        yield from table(
            ["", "", f"{100 * pair.confidence:.4g} % interval"],
            [
                [f"{escaped(pair.b)} better", f"{found.wins:,}", ""],
                [f"{escaped(pair.a)} better", f"{found.losses:,}", ""],
                ["ties", f"{found.ties:,}", ""],
                ["not decided", f"{pair.undecided:,}", ""],
                [f"win rate of {escaped(pair.b)}", percent(found.win_rate), rate],
                ["chance alone", chance(found.p_value), ""],
                ["more tokens a case", *_more(pair.tokens, "+.1f")],
                ["more US$ a case", *_more(pair.cost, "+.8f")],
            ],
            right=2,
        )
        yield ""
        yield from _examples(pair)


def _examples(pair: PairOutcome) -> Iterator[str]:
    """Yield the first cases of each side, for people to look at."""
    sides = [(pair.b, 1.0), (pair.a, 0.0)]
    rows = [
        [escaped(name), escaped(each.id, most=60), escaped(each.reason)]
        for name, score in sides
        for each in [one for one in pair.preferences if one.score == score][:_SHOWN]
    ]
    if rows:
        yield from table(["better", "case", "why"], rows)
        yield ""


def _more(found: PairedDifference | None, form: str) -> list[str]:
    if found is None or found.mean is None:
        return ["–", ""]
    return [
        format(found.mean, form),
        "" if found.interval is None else _range(found.interval, form),
    ]


def _range(interval: Interval, form: str) -> str:
    return f"{interval.low:{form}} to {interval.high:{form}}"


def _shares(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"
