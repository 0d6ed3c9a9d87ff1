"""From rows to a file, whatever the rows are: read, submit, wait, collect, write."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prefect import get_client
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from meshflow_prefect.bulk.apart import check_apart
from meshflow_prefect.bulk.display import showing
from meshflow_prefect.bulk.estimate import budget_of, check_budget, estimate
from meshflow_prefect.bulk.job import FileJob, part_of
from meshflow_prefect.bulk.outputs import goes_on_writing, may_replace
from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.bulk.steps import read_source, write_output
from meshflow_prefect.bulk.summary import FileSummary, log_summary, summarise
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.chunking import id_suffix
from meshflow_prefect.errors import (
    BatchFailedError,
    ContentChangedError,
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    OverBudgetError,
    SourceError,
    SubmissionRefusedError,
)
from meshflow_prefect.failures import too_many
from meshflow_prefect.filesystems import shown
from meshflow_prefect.ledger import Entry
from meshflow_prefect.ledgers import entries_of_job
from meshflow_prefect.reading.rows import RowSource
from meshflow_prefect.reporting import counted
from meshflow_prefect.sinks import check_destination
from meshflow_prefect.submission import taken_over
from meshflow_prefect.terms import Terms


async def rows_to_file(
    open_source: Callable[[], RowSource],
    destination: str,
    how: Spooling,
    terms: Terms,
    *,
    overwrite: bool,
    max_cost_usd: float | None,
    source: str,
) -> FileSummary:
    """Run every row as one request, write one row for each, and return the figures.

    What `batch_file` promises. `open_source` is called in a thread; `source` is what it opens, in
    the words of the user.
    """
    max_cost = budget_of(max_cost_usd)
    await asyncio.to_thread(check_apart, source, destination)
    source = shown(source)
    # A key names the job wherever its output goes; two others of a run do not write the same file.
    name = hashlib.sha256((terms.job_key or destination).encode()).hexdigest()[:8]
    job = f"key {terms.job_key}:{name}" if terms.job_key else f"{flow_run.root_flow_run_id}:{name}"
    how = replace(how, suffix=id_suffix(job))
    first = part_of(name, 0)
    async with get_client() as prefect:
        submitted = await entries_of_job(prefect, terms.job_key)
        begun = submitted.get(first)
        if begun is None:
            replaces = overwrite or await goes_on_writing(prefect, destination, terms.job_key)
            await asyncio.to_thread(check_destination, destination, overwrite=replaces)
    whole, progress = Workplace.of(job), Progress()
    try:
        with whole.present():
            async with showing(progress, whole.directory):
                opened = await asyncio.to_thread(open_source)
                plan, place = await _spooled(opened, how, whole, progress)
                _check_unchanged(plan, begun, source)
                if terms.job_key:
                    submitted = await taken_over(
                        submitted,
                        terms.job_key,
                        plan.digest,
                        on_cancel=terms.on_cancel,
                        block=terms.key.stored_name or "",
                    )
                if max_cost_usd is not None and first not in submitted:
                    async with terms.key.get_client() as anthropic:
                        check_budget(await estimate(source, plan, place, anthropic), max_cost_usd)
                work = FileJob(
                    name=name,
                    plan=plan,
                    place=place,
                    terms=terms,
                    progress=progress,
                    submitted=submitted,
                    read=None if terms.output is None else terms.output.parse,
                    max_cost=max_cost,
                )
                await work.run()
                async with get_client() as prefect:
                    is_own = await may_replace(prefect, destination, terms.job_key)
                endings = await write_output(
                    destination,
                    plan,
                    place,
                    progress,
                    overwrite=overwrite or is_own,
                    refusal=None if work.refusal is None else work.refusal.message,
                )
            summary = summarise(
                plan,
                work.tallies(),
                endings,
                source=source,
                destination=shown(destination),
                unsent=work.unsent,
            )
    except (InvalidRequestError, OverBudgetError, SourceError):
        if first not in submitted:
            # Nearly always nothing was submitted; else the spool can be made anew.
            await asyncio.to_thread(whole.clear)
        raise
    log_summary(get_run_logger(), summary)
    await asyncio.to_thread(whole.clear)
    if work.refusal is not None:
        raise _refused(work.refusal, summary)
    return summary


def is_of_files(summary: FileSummary, asked: Mapping[str, Any]) -> bool:
    """Whether a summary is that of a call with these parameters, by the files that it names."""
    return (summary.source, summary.destination) == (
        shown(asked["source"]),
        shown(asked["destination"]),
    )


def check_summary(summary: FileSummary, terms: Terms) -> None:
    """Raise `BatchFailedError` where more rows have failed than the terms allow."""
    threshold = terms.failure_threshold
    if terms.on_failure == "raise" and too_many(summary.failed, summary.rows, threshold):
        raise _failed(summary, threshold)


async def _spooled(
    source: RowSource, how: Spooling, whole: Workplace, progress: Progress
) -> tuple[Plan, Workplace]:
    """Return what the spool of a source holds, and where it is; it is made unless it is there."""
    fingerprint = await asyncio.to_thread(lambda: source.fingerprint)
    place = whole.of_reading(fingerprint=fingerprint, settings=how.settings)
    plan = place.plan or await read_source(source, how, place, progress)
    progress.rows = progress.rows_read = plan.rows
    progress.bad_rows = plan.bad_rows
    return plan, place


def _check_unchanged(plan: Plan, begun: Entry | None, source: str) -> None:
    if begun is None or begun.work.job_digest == plan.digest:
        return
    raise ContentChangedError(
        f"{source!r}, or the prompt, the parameters or the limits of a batch, are not what they "
        f"were at {begun.intended_at}, when this run began to submit. Nothing more was submitted. "
        "Restore them and retry the run: it goes on. To submit the changed rows, start a new run; "
        f"`meshflow-prefect submissions {begun.run_ids[-1]}` names the batches of this one. Where "
        "one run has several jobs, each needs a destination of its own.",
        source=source,
    )


def _refused(
    refusal: CredentialsError | SubmissionRefusedError, summary: FileSummary
) -> MeshflowError:
    unsent = summary.unsent
    rest = f"{counted(unsent, 'request')} of the job {'was' if unsent == 1 else 'were'} not sent"
    return type(refusal)(
        f"{refusal.message} {rest if unsent else 'Nothing was sent again'}. What was submitted "
        f"before is collected, and the output is written, all rows of it: {summary.destination}. "
        "Once this is mended, a retry of the run sends the rest, and so does the same command "
        "with --overwrite.",
        **refusal.details | {"batch_ids": list(summary.batch_ids)},
    )


def _failed(summary: FileSummary, threshold: float) -> BatchFailedError:
    return BatchFailedError(
        f"{summary.failed:,} of {summary.rows:,} rows failed, more than the {threshold:.1%} "
        f"allowed. The output is written, all rows of it: {summary.destination}. Batches: "
        f"{', '.join(summary.batch_ids)}.",
        results=[],
        batch_ids=list(summary.batch_ids),
        failed=summary.failed,
        total=summary.rows,
    )
