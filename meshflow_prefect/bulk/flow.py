"""The flow from a file to a file: read, submit, wait, collect, write."""

# No `from __future__ import annotations` here: see flows.py.

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import SecretStr, SkipValidation

from meshflow_prefect.bulk.bad_rows import OnBadRow
from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.bulk.running import check_summary, is_of_files, rows_to_file
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.bulk.summary import FileSummary
from meshflow_prefect.chunking import MAX_BYTES, MAX_REQUESTS
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.failures import OnFailure
from meshflow_prefect.filesystems import FileName
from meshflow_prefect.flow_type import batch_flow
from meshflow_prefect.keys import usable_credentials
from meshflow_prefect.ledger import OnCancel
from meshflow_prefect.models import DEFAULT_MODEL
from meshflow_prefect.queueing import MAX_IN_QUEUE
from meshflow_prefect.replayed import note_execution
from meshflow_prefect.sources import Source
from meshflow_prefect.terms import Terms


@batch_flow(is_of_files, name="batch-file", persist_result=True)
async def batch_file(
    source: FileName,
    destination: FileName,
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
            the row's own `messages` or `prompt`, with its `params`, where a model of its own, say,
            has its place. Rows of `custom_id` and `params` are requests already, in Anthropic's
            format, and pass as they are.
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
            where a row has one, else the row's number, from 0. Empty: always the number.
        include_input: Whether the output has the input's columns too, after those of
            `BatchResult`; one of the same name gets `input_` before it.
        on_bad_row: What to do with rows that are no requests: `raise` before anything is
            submitted, with file and line, or `skip` them: the output's row says what is wrong.
        deduplicate: Whether equal requests are sent once; each row gets the result, and the first
            of them its tokens and its cost: those of the others are 0.
        overwrite: Whether a destination that exists is replaced.
        max_cost_usd: Refuses the job before anything is submitted when it may cost more, every
            reply being as long as `max_tokens`; and sends nothing further once so much is spent,
            nor again what would bring it above that, at the average of its first attempt. What
            is spent is what collected batches have cost; those under way are not counted.
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
        max_requests_in_queue: How many requests may wait at Anthropic at once, and so be in a
            batch.
        max_requests_per_batch: The most requests of a chunk.
        max_bytes_per_batch: The most bytes of a chunk.

    Returns:
        The figures; never the rows.

    Raises:
        SourceError, BadRowsError, TemplateError, InvalidRequestError, DestinationError: nothing
            was submitted. A DestinationError comes also where a file of others is at the
            destination by the time that the output is written: away with it, a retry writes it.
        ContentChangedError: the source, the prompt or the parameters are not those that this run
            has begun to submit; nothing more was.
        BatchFailedError: more rows failed than `failure_threshold` allows; the output is written.
        SubmissionRefusedError, CredentialsError: a batch was refused for good. Where others had
            been made before, they are collected and the output is written first: its other rows
            say that they were not sent, and a retry sends them.
        And what `batch_agent_tasks` raises.
    """
    given = locals()
    note_execution()
    source, destination = os.fspath(source), os.fspath(destination)
    terms = Terms.among(given, key=await usable_credentials(api_key, credentials))
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
        limits=terms.limits,
        on_bad_row=on_bad_row,
        deduplicate=deduplicate,
        include_input=include_input,
    )
    summary = await rows_to_file(
        lambda: Source.open(source),
        destination,
        how,
        terms,
        overwrite=overwrite,
        max_cost_usd=max_cost_usd,
        source=source,
    )
    check_summary(summary, terms)
    return summary
