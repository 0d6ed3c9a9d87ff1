"""What a baseline set costs, as a page for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from meshflow_prefect.uses.cost_comparison import CostComparison
from meshflow_prefect.uses.markdown import escaped, table

GROWN_HEAD = ("case", "before", "now", "tokens before", "tokens now")


def page_of(found: CostComparison) -> str:
    """Return a comparison as Markdown: the verdict, the figures, and the cases that grew most."""
    lines = [f"# Cost gate: {verdict(found)}", ""]
    lines += [
        f"{found.figures.cases:,} cases of {escaped(found.source)}, answered by "
        f"{escaped(', '.join(found.models))}; the baseline is in {escaped(found.place)}"
        + (f", stored at {escaped(found.made_at)}." if found.made_at else "."),
        "",
    ]
    if found.asked_otherwise:
        lines += ["The prompt or the parameters have changed since the baseline.", ""]
    head, rows = figures(found)
    lines += table(head, rows, right=len(head) - 1)
    if found.grew:
        lines += ["", "## Grew most", ""]
        rows = [[escaped(name), *rest] for name, *rest in grown(found)]
        lines += table(GROWN_HEAD, rows, right=len(GROWN_HEAD) - 1)
    return "\n".join(lines)


def verdict(found: CostComparison) -> str:
    """Return how the gate has ended, in a word or two."""
    if found.updated:
        return "baseline stored"
    return "passed" if found.passed else "FAILED"


def figures(found: CostComparison) -> tuple[Sequence[str], list[list[str]]]:
    """Return the head and the rows of a table of the figures, beside those of the baseline."""
    now = found.figures
    standard = ["at standard price", _money(now.standard_cost_usd)]
    if found.baseline is None:
        counts = (now.input_tokens, now.output_tokens, now.failed)
        names = ("input tokens", "output tokens", "failures")
        rows = [[name, f"{count:,}"] for name, count in zip(names, counts, strict=True)]
        return ("figure", "now"), [["cost", _money(now.cost_usd)], standard, *rows]
    standard = [standard[0], _money(found.baseline.standard_cost_usd), standard[1], "", "", ""]
    first, *others = (
        [
            check.name,
            check.figure(check.baseline),
            check.figure(check.current),
            check.change_in_words,
            check.limit,
            "ok" if check.passed else "TOO MUCH",
        ]
        for check in found.checks
    )
    return ("figure", "baseline", "now", "change", "at most", ""), [first, standard, *others]


def grown(found: CostComparison) -> list[list[str]]:
    """Return the rows of the table of cases that grew, under `GROWN_HEAD`."""
    return [
        [
            each.id,
            _money(each.before.cost_usd),
            _money(each.now.cost_usd),
            f"{sum(each.before[:2]):,}",
            f"{sum(each.now[:2]):,}",
        ]
        for each in found.grew
    ]


def _money(usd: float | None) -> str:
    return "unknown" if usd is None else f"US$ {usd:.6f}"
