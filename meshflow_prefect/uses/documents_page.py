"""What became of the documents of a job, as a page for people. Pure."""

from __future__ import annotations

from meshflow_prefect.bulk.summary import FileSummary
from meshflow_prefect.uses.markdown import escaped, money, table

_LONGEST = 300
"""Of a path or a reason, in characters."""


def page_of(summary: FileSummary) -> str:
    """Return the figures of a job, and what was wrong with which documents, as Markdown."""
    figures = [
        ("Documents", f"{summary.rows:,}"),
        ("Replies", f"{summary.succeeded:,}"),
        ("Not readable", f"{summary.bad_rows:,}"),
        ("Failed", f"{summary.failed - summary.bad_rows:,}"),
        ("Batches", f"{len(summary.batch_ids):,}"),
        ("Input tokens", f"{summary.input_tokens:,}"),
        ("Output tokens", f"{summary.output_tokens:,}"),
        ("Cost", money(summary.cost_usd)),
        ("At standard price", money(summary.standard_cost_usd)),
    ]
    lines = ["# Documents", ""]
    lines += [f"From {_shown(summary.source)} to {_shown(summary.destination)}.", ""]
    lines += table(("", ""), figures, right=1)
    if summary.problems:
        lines += ["", "## Not readable", ""]
        lines += table(("document, and why",), [(_shown(why),) for why in summary.problems])
        if more := summary.bad_rows - len(summary.problems):
            lines += ["", f"And {more:,} more: the output says it of each."]
    if summary.failures:
        lines += ["", "## Failed", ""]
        kinds = [(_shown(words), f"{count:,}") for words, count in summary.failures.items()]
        lines += table(("reason", "documents"), kinds, right=1)
    return "\n".join(lines)


def _shown(text: str) -> str:
    return escaped(text, most=_LONGEST)
