"""What a baseline set costs, as a page for people. Pure."""

from __future__ import annotations

from meshflow_prefect.uses.cost_comparison import CostComparison
from meshflow_prefect.uses.markdown import escaped, table

HEAD = ("figure", "baseline", "now", "change", "at most", "")
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
    lines += table(HEAD, figures(found))
    if found.grew:
        lines += ["", "## Grew most", ""]
        lines += table(GROWN_HEAD, [[escaped(name), *rest] for name, *rest in grown(found)])
    return "\n".join(lines)


def verdict(found: CostComparison) -> str:
    """Return how the gate has ended, in a word or two."""
    if found.updated:
        return "baseline stored"
    return "passed" if found.passed else "FAILED"


def figures(found: CostComparison) -> list[list[str]]:
    """Return the rows of the table of figures, under `HEAD`."""
    standard = _money(found.figures.standard_cost_usd)
    before = "" if found.baseline is None else _money(found.baseline.standard_cost_usd)
    if not found.checks:
        now = found.figures
        counts = {
            "input tokens": now.input_tokens,
            "output tokens": now.output_tokens,
            "failures": now.failed,
        }
        rows = [["cost", "", _money(now.cost_usd), "", "", ""]]
        rows += [[name, "", f"{count:,}", "", "", ""] for name, count in counts.items()]
    else:
        rows = [
            [
                check.name,
                check.figure(check.baseline),
                check.figure(check.current),
                check.change_in_words,
                "" if check.most is None else check.figure(check.most),
                "ok" if check.passed else "TOO MUCH",
            ]
            for check in found.checks
        ]
    return [rows[0], ["at standard price", before, standard, "", "", ""], *rows[1:]]


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
