"""The command from a folder of documents to a file."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from meshflow_prefect.bulk.bad_rows import OnBadRow
from meshflow_prefect.chunking import MAX_BYTES, MAX_REQUESTS
from meshflow_prefect.cli.app import app
from meshflow_prefect.cli.jobs import (
    failing_above,
    object_of,
    output_type_of,
    run_file_job,
    schema_of,
)
from meshflow_prefect.cli.prefect_console import check_prefect, prepare_prefect
from meshflow_prefect.cli.stopped import key_until_it_ends
from meshflow_prefect.documents import Documents
from meshflow_prefect.models import DEFAULT_MODEL
from meshflow_prefect.queueing import MAX_IN_QUEUE


@app.command
def documents(
    source: str,
    *,
    output: Annotated[str, Parameter(alias="-o")],
    instruction: Annotated[str, Parameter(alias="-i")],
    output_type: str | None = None,
    system: str = "",
    model: Annotated[str, Parameter(alias="-m")] = DEFAULT_MODEL,
    max_tokens: int = 1024,
    params: str = "{}",
    cache_system: bool = True,
    warm_cache: bool = False,
    on_bad_row: OnBadRow = "skip",
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
    """Run every document of a folder as one request, and write one row for each, in their order.

    Started again after it was killed, the same command goes on: what was submitted is not
    submitted again, as long as documents, instruction and destination are the same. Prints the
    figures as JSON.

    Parameters
    ----------
    source
        A file, a glob or a folder of .txt, .md, .html, .pdf, .png, .jpg, .gif, .webp and .docx; a
        path or any fsspec URL.
    output
        The file to write: .jsonl or .parquet.
    instruction
        What to do with each document.
    output_type
        What each reply has to be: the JSON Schema in a .json file, or package.module:Name of a
        Pydantic model.
    system
        The system prompt.
    model
        The model that answers.
    max_tokens
        The most tokens that each reply may have.
    params
        Other Messages parameters, as a JSON object.
    cache_system
        Send a system prompt that is long enough for the model with the 1-hour cache.
    warm_cache
        Send the first document in a batch of its own, so that all others read the cache.
    on_bad_row
        Whether documents that cannot be read are written as failed, or stop everything before it
        is submitted.
    overwrite
        Replace a file that is there.
    max_cost_usd
        Submit nothing when it may cost more, and nothing further when it has cost as much.
    failure_threshold
        Exit with 1 when a larger share of the documents has failed. Left out: they are rows.
    max_attempts
        In how many batches a document may be sent.
    timeout
        Seconds that a batch may take; then the command fails, and the next one collects it.
    poll_interval
        Seconds between two checks.
    max_requests_in_queue
        How many requests may wait at Anthropic at once.
    max_requests_per_batch
        The most documents of one batch.
    max_bytes_per_batch
        The most bytes of one batch.
    credentials
        The name of an AnthropicCredentials block. Left out: the environment's key.
    job_key
        Names the job. Left out: made of the documents, as they are now, and of all that is asked.
    """
    given = dict(locals())
    prepare_prefect()
    from meshflow_prefect.uses.bulk_documents import batch_documents

    positional = ("source", "output", "instruction")
    options = {name: given[name] for name in given if name not in positional}
    options |= failing_above(failure_threshold)

    async def work() -> Any:
        options["params"] = object_of("--params", params)
        options["output_type"] = output_type_of(output_type)
        await check_prefect()
        asked = {name: options[name] for name in _CONTENT}
        asked |= {"instruction": instruction, "output_type": schema_of(options["output_type"])}
        async with key_until_it_ends(
            "documents",
            source,
            lambda: Documents.open(source).content(),
            output=output,
            asked=asked,
            given=job_key,
        ) as key:
            options["job_key"] = key
            return await batch_documents(source, output, instruction, **options)

    run_file_job(work())


_CONTENT = ("system", "model", "max_tokens", "params")
"""The options that make it another job, beside instruction and output type; see `files`."""
