"""Commands from a file to a file: estimate, run."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from meshflow_prefect.bulk.bad_rows import OnBadRow
from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.chunking import MAX_BYTES, MAX_REQUESTS, Limits, id_suffix
from meshflow_prefect.cli.app import app, done, print_json
from meshflow_prefect.cli.jobs import (
    failing_above,
    object_of,
    output_type_of,
    run_file_job,
    schema_of,
)
from meshflow_prefect.cli.prefect_console import check_prefect, prepare_prefect
from meshflow_prefect.cli.stopped import key_until_it_ends
from meshflow_prefect.filesystems import shown
from meshflow_prefect.models import DEFAULT_MODEL
from meshflow_prefect.queueing import MAX_IN_QUEUE
from meshflow_prefect.sources import Source
from meshflow_prefect.structured import OutputType


@app.command
def run(
    source: str,
    *,
    output: Annotated[str, Parameter(alias="-o")],
    prompt: Annotated[str | None, Parameter(alias="-p")] = None,
    system: str = "",
    model: Annotated[str, Parameter(alias="-m")] = DEFAULT_MODEL,
    max_tokens: int = 1024,
    params: str = "{}",
    output_type: str | None = None,
    cache_system: bool = True,
    warm_cache: bool = False,
    id_column: str | None = None,
    include_input: bool = False,
    on_bad_row: OnBadRow = "raise",
    deduplicate: bool = False,
    overwrite: bool = False,
    max_cost_usd: float | None = None,
    failure_threshold: float | None = None,
    max_attempts: int = 2,
    timeout: float | None = None,
    poll_interval: float = 30.0,
    max_requests_in_queue: int = MAX_IN_QUEUE,
    max_requests_per_batch: int = MAX_REQUESTS,
    max_bytes_per_batch: int = MAX_BYTES,
    credentials: str | None = None,
    job_key: str | None = None,
) -> None:
    """Run every row of a file as one request, and write one row for each, in input order.

    Started again after it was killed, the same command goes on: what was submitted is not
    submitted again. With another prompt, model or destination it is another job. With another
    content of the source it is an error as long as there is something to collect, and with other
    limits of a batch, or other ways to send the rows, for 29 days. Prints the figures as JSON.

    Parameters
    ----------
    source
        A file, a glob or a folder of .jsonl, .csv or .parquet files; a path or any fsspec URL.
    output
        The file to write: .jsonl or .parquet.
    prompt
        A template, such as "Summarise: {text}". Left out: the rows' own messages, params, prompt.
    system
        The system prompt; a template too.
    model
        The model that answers.
    max_tokens
        The most tokens that each reply may have.
    params
        Other Messages parameters, as a JSON object.
    output_type
        What each reply has to be: the JSON Schema in a .json file, or package.module:Name of a
        Pydantic model.
    cache_system
        Send a system prompt without columns, long enough for the model, with the 1-hour cache.
    warm_cache
        Send the first row in a batch of its own, so that all others read the cache.
    id_column
        The column that names the rows. Left out: id, else the row's number. Empty: the number.
    include_input
        Write the input's columns too.
    on_bad_row
        Whether rows that are no requests stop everything before it is submitted, or are written
        as failed.
    deduplicate
        Send equal requests once.
    overwrite
        Replace a file that is there.
    max_cost_usd
        Submit nothing when it may cost more, and nothing further when it has cost as much.
    failure_threshold
        Exit with 1 when a larger share of the rows has failed. Left out: failed rows are rows.
    max_attempts
        In how many batches a row may be sent.
    timeout
        Seconds that a batch may take; then the command fails, and the next one collects it.
    poll_interval
        Seconds between two checks.
    max_requests_in_queue
        How many requests may wait at Anthropic at once, and so be in a batch.
    max_requests_per_batch
        The most requests of one batch.
    max_bytes_per_batch
        The most bytes of one batch.
    credentials
        The name of an AnthropicCredentials block. Left out: the environment's key.
    job_key
        Names the job. Left out: made of what is in the source now, and of all that is asked.
    """
    given = dict(locals())
    prepare_prefect()
    from meshflow_prefect.bulk.flow import batch_file

    options = {name: given[name] for name in given if name not in ("output", "source", "params")}
    options |= failing_above(failure_threshold)

    async def work() -> Any:
        options["params"] = object_of("--params", params)
        options["output_type"] = output_type_of(output_type)
        await check_prefect()
        asked = {name: options[name] for name in _CONTENT}
        asked["output_type"] = schema_of(options["output_type"])
        async with key_until_it_ends(
            "run",
            source,
            lambda: Source.open(source).content(),
            output=output,
            asked=asked,
            given=job_key,
        ) as key:
            options["job_key"] = key
            return await batch_file(source, output, **options)

    run_file_job(work())


@app.command
def estimate(
    source: str,
    *,
    prompt: Annotated[str | None, Parameter(alias="-p")] = None,
    system: str = "",
    model: Annotated[str, Parameter(alias="-m")] = DEFAULT_MODEL,
    max_tokens: int = 1024,
    params: str = "{}",
    output_type: str | None = None,
    cache_system: bool = True,
    warm_cache: bool = False,
    id_column: str | None = None,
    on_bad_row: OnBadRow = "raise",
    deduplicate: bool = False,
    max_requests_per_batch: int = MAX_REQUESTS,
    max_bytes_per_batch: int = MAX_BYTES,
    credentials: str | None = None,
) -> None:
    """Print what a job will come to: rows, tokens, batches, and its cost. Submits nothing.

    Parameters
    ----------
    source
        As for `run`, as all that follows.
    prompt
        A template.
    system
        A template too.
    model
        The model that answers.
    max_tokens
        The most tokens that each reply may have: the upper end of the cost.
    params
        Other Messages parameters, as a JSON object.
    output_type
        What each reply has to be; its schema is part of each request.
    cache_system
        Whether the system prompt is sent with the prompt cache, which costs more to write.
    warm_cache
        Whether the first row goes in a batch of its own.
    id_column
        The column that names the rows.
    on_bad_row
        Whether rows that are no requests are an error, or left out.
    deduplicate
        Count equal requests once.
    max_requests_per_batch
        The most requests of one batch.
    max_bytes_per_batch
        The most bytes of one batch.
    credentials
        The name of an AnthropicCredentials block. Left out: the environment's key.
    """
    from meshflow_prefect.bulk.estimate import estimate as estimated
    from meshflow_prefect.bulk.progress import Progress
    from meshflow_prefect.bulk.workplace import ENVIRONMENT, Workplace
    from meshflow_prefect.keys import usable_credentials

    async def work() -> Any:
        how = Spooling(
            recipe=Recipe(
                prompt=prompt,
                system=system,
                model=model,
                max_tokens=max_tokens,
                params=object_of("--params", params),
                id_column=id_column,
                output=None if output_type is None else OutputType.of(output_type_of(output_type)),
                cache_system=cache_system,
            ),
            suffix=id_suffix(""),
            first_alone=warm_cache,
            limits=Limits(max_requests=max_requests_per_batch, max_bytes=max_bytes_per_batch),
            on_bad_row=on_bad_row,
            deduplicate=deduplicate,
        )
        if spools := os.environ.get(ENVIRONMENT):
            await asyncio.to_thread(os.makedirs, spools, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=spools) as directory:
            place = Workplace(Path(directory))
            opened = Source.open(source)
            plan = await how.written(opened, place.spool, Progress())
            key = await usable_credentials("", credentials)
            async with key.get_client() as anthropic:
                return await estimated(shown(source), plan, place, anthropic)

    found = done(work())
    print(found, file=sys.stderr)
    print_json(found.to_dict())


_CONTENT = ("prompt", "system", "model", "max_tokens", "params")
"""The options that make it another job, beside the output type. How the rows are sent is none: what
was paid for in batches of other limits, say, would be paid for again without a word."""
