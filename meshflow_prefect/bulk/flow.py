"""The flow from a file to a file: read, submit, wait, collect, write."""

# No `from __future__ import annotations` here: see flows.py.

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

from prefect import get_client
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import SecretStr, SkipValidation

from meshflow_prefect.bulk.display import showing
from meshflow_prefect.bulk.estimate import budget_of, check_budget, estimate
from meshflow_prefect.bulk.job import FileJob, part_of
from meshflow_prefect.bulk.plan import Plan
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.bulk.spool import OnBadRow, Spooling
from meshflow_prefect.bulk.steps import read_source, write_output
from meshflow_prefect.bulk.summary import FileSummary, log_summary, summarise
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.chunking import MAX_BYTES, MAX_REQUESTS, id_suffix
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import BatchFailedError, ContentChangedError, InvalidRequestError
from meshflow_prefect.failures import OnFailure, too_many
from meshflow_prefect.flow_type import batch_flow
from meshflow_prefect.keys import usable_credentials
from meshflow_prefect.ledger import Entry, OnCancel
from meshflow_prefect.ledgers import entries_of_job
from meshflow_prefect.models import DEFAULT_MODEL
from meshflow_prefect.queueing import MAX_IN_QUEUE
from meshflow_prefect.sinks import check_destination
from meshflow_prefect.sources import Source
from meshflow_prefect.terms import Terms


@batch_flow(name="batch-file", persist_result=True)
async def batch_file(
    source: str,
    destination: str,
    prompt: str | None = None,
    *,
    system: str = "",
    model: str = DEFAULT_MODEL,
    max_tokens: int = 1024,
    params: Mapping[str, Any] | None = None,
    output_type: Annotated[Any, SkipValidation] = None,
    cache_system: bool = True,
    warm_cache: bool = False,
    id_column: str | None = None,
    include_input: bool = False,
    on_bad_row: OnBadRow = "raise",
    deduplicate: bool = False,
    overwrite: bool = False,
    max_cost_usd: float | None = None,
    api_key: str | SecretStr = "",
    credentials: AnthropicCredentials | str | None = None,
    poll_interval: float = 30.0,
    wait_fraction: float = 0.25,
    timeout: float | None = None,
    max_attempts: int = 2,
    on_failure: OnFailure = "return",
    failure_threshold: float = 0.0,
    on_cancel: OnCancel = "cancel_batches",
    job_key: str = "",
    if_unknown: str = "stop",
    max_requests_in_queue: int = MAX_IN_QUEUE,
    max_requests_per_batch: int = MAX_REQUESTS,
    max_bytes_per_batch: int = MAX_BYTES,
) -> FileSummary:
    """Run every row of a source as one request, and write one row for each, in input order.

    Files of any size, in bounded memory: requests are spooled to disk in chunks, as many batches
    as they take are submitted as Anthropic's queue takes them, and results go to disk as they
    come. Waits, suspends and recovers as `batch_agent_tasks` does. A process that is killed,
    anywhere, loses nothing: the next one goes on, and submits no chunk again.

    Args:
        source: A file, a glob or a folder of `.jsonl`, `.csv` or `.parquet` files (see `Source`),
            local or any fsspec URL. A deployed run may go on on another worker, which has to see
            the same files.
        destination: The file to write, `.jsonl` or `.parquet` (see `sinks`), local or a URL. It
            is there when it is whole.
        prompt: A template such as `Summarise: {text}`, filled from the row's columns. Left out:
            the row's own `messages`, `params` or `prompt`. Rows of `custom_id` and `params` are
            requests already, in Anthropic's format, and pass as they are.
        system: The system prompt, a template too.
        model: The model that answers.
        max_tokens: The most tokens that each reply may have.
        params: Other Messages parameters of every request.
        output_type: What each reply has to be: a Pydantic model, a JSON Schema, or an import
            path; see `batch_agent_tasks`. The output's `parsed` has it as JSON.
        cache_system: Whether a system prompt without columns, long enough for the model, is sent
            with the 1-hour prompt cache.
        warm_cache: Whether the first row goes in a batch of its own, so that all others read the
            cache.
        id_column: The column that names the rows, as the output's `custom_id`. Left out: `id`
            where a row has one, else the row's number, from 0.
        include_input: Whether the output has the input's columns too, after those of
            `BatchResult`; one of the same name gets `input_` before it.
        on_bad_row: What to do with rows that are no requests: `raise` before anything is
            submitted, with file and line, or `skip` them: the output's row says what is wrong.
        deduplicate: Whether equal requests are sent once; each row gets the result.
        overwrite: Whether a destination that exists is replaced.
        max_cost_usd: Refuses the job before anything is submitted when it may cost more, every
            reply being as long as `max_tokens`; and sends no further chunk once so much is spent.
        api_key: See `batch_agent_tasks`, as for all that follow.
        credentials: An AnthropicCredentials block, or the name of one.
        poll_interval: Seconds.
        wait_fraction: Of the time already waited.
        timeout: Seconds, from the creation of each batch.
        max_attempts: In how many batches a request may be sent.
        on_failure: `return` or `raise`; the output is written in any case.
        failure_threshold: The share of rows that may fail.
        on_cancel: `cancel_batches` or `keep`.
        job_key: Names the job across runs.
        if_unknown: `stop`, `submit`, or the id of a batch.
        max_requests_in_queue: How many requests may wait at Anthropic at once.
        max_requests_per_batch: The most requests of a chunk.
        max_bytes_per_batch: The most bytes of a chunk.

    Returns:
        The figures; never the rows.

    Raises:
        SourceError, BadRowsError, TemplateError, InvalidRequestError, DestinationError: nothing
            was submitted.
        ContentChangedError: the source, the prompt or the parameters are not those that this run
            has begun to submit; nothing more was.
        BatchFailedError: more rows failed than `failure_threshold` allows; the output is written.
        And what `batch_agent_tasks` raises.
    """
    given = locals()
    terms = Terms.among(given, key=await usable_credentials(api_key, credentials))
    if on_bad_row not in ("raise", "skip"):
        raise InvalidRequestError(f"on_bad_row: expected 'raise' or 'skip', got {on_bad_row!r}.")
    max_cost = budget_of(max_cost_usd)
    # A key names the job wherever its output goes; two others of a run do not write the same file.
    name = hashlib.sha256((job_key or destination).encode()).hexdigest()[:8]
    job = f"key {job_key}:{name}" if job_key else f"{flow_run.root_flow_run_id}:{name}"
    how = Spooling(
        recipe=Recipe(
            prompt=prompt,
            system=system,
            model=model,
            max_tokens=max_tokens,
            params=params or {},
            id_column=id_column,
            output=terms.output,
            cache_system=terms.cache_system,
        ),
        first_alone=terms.warm_cache,
        suffix=id_suffix(job),
        limits=terms.limits,
        on_bad_row=on_bad_row,
        deduplicate=deduplicate,
        include_input=include_input,
    )
    async with get_client() as prefect:
        submitted = await entries_of_job(prefect, job_key)
    begun = submitted.get(part_of(name, 0))
    if begun is None:
        await asyncio.to_thread(check_destination, destination, overwrite=overwrite)
    whole, progress = Workplace.of(job), Progress()
    with whole.present():
        async with showing(progress, whole.directory):
            plan, place = await _spooled(source, how, whole, progress)
            _check_unchanged(plan, begun, source)
            if max_cost_usd is not None and begun is None:
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
            endings = await write_output(destination, plan, place, progress)
        tallies = work.tallies()
    summary = summarise(
        plan,
        tallies,
        endings,
        source=source,
        destination=destination,
        unsent=work.unsent,
    )
    log_summary(get_run_logger(), summary)
    await asyncio.to_thread(whole.clear)
    if terms.on_failure == "raise" and too_many(summary.failed, summary.rows, failure_threshold):
        raise _failed(summary, failure_threshold)
    return summary


async def _spooled(
    source: str, how: Spooling, whole: Workplace, progress: Progress
) -> tuple[Plan, Workplace]:
    """Return what the spool of a source holds, and where it is; it is made unless it is there."""
    opened = await asyncio.to_thread(Source.open, source)
    fingerprint = await asyncio.to_thread(lambda: opened.fingerprint)
    place = whole.of_reading(fingerprint=fingerprint, settings=how.settings)
    plan = place.plan or await read_source(opened, how, place, progress)
    progress.rows = progress.rows_read = plan.rows
    progress.bad_rows = plan.bad_rows
    return plan, place


def _check_unchanged(plan: Plan, begun: Entry | None, source: str) -> None:
    if begun is None or begun.work.job_digest == plan.digest:
        return
    raise ContentChangedError(
        f"{source!r}, or the prompt and parameters, are not what they were at "
        f"{begun.intended_at}, when this run began to submit them. Nothing more was submitted. "
        "Restore them and retry the run: it goes on. To submit the changed rows, start a new run; "
        "`meshflow-prefect submissions` names the batches of this one.",
        source=source,
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
