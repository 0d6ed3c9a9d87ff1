"""The cost gate and document jobs as a type checker sees them; never run."""

from pydantic import BaseModel

from meshflow_prefect import (
    CostComparison,
    CostGateError,
    FileSummary,
    batch_documents,
    compare_cost,
)


class Bill(BaseModel):
    """What replies have to be."""

    total: float


async def gate(rows: list[dict[str, object]]) -> float | None:
    """A gate takes a path or rows, and the options of the job."""
    try:
        found: CostComparison = await compare_cost(
            rows,
            baseline="variable:gate",
            tolerance=None,
            output_type=Bill,
            credentials="production",
            job_key="commit",
            timeout=3600,
        )
    except CostGateError as error:
        print(error.message, error.comparison.grew)
        raise
    await compare_cost("rows.jsonl")  # type: ignore[call-arg]
    await compare_cost(rows, baseline="b.json", poll_intervall=1)  # type: ignore[call-arg]
    change: float | None = found.checks[0].change
    print(found.passed, found.figures.cost_usd, found.grew[0].usd)
    return change


async def documents() -> int:
    """Documents give a summary, never the rows."""
    summary: FileSummary = await batch_documents(
        "bills", "bills.parquet", "Read it.", output_type=Bill, max_cost_usd=2, overwrite=True
    )
    await batch_documents("bills", "bills.parquet")  # type: ignore[call-overload]
    return summary.succeeded + len(summary.problems)
