"""Bulk documents: a folder of texts, PDF, images and Word, one request a document, to a file."""

# No `from __future__ import annotations` here: see flows.py.

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import SecretStr, SkipValidation

from meshflow_prefect.bulk.bad_rows import OnBadRow
from meshflow_prefect.bulk.document_recipe import DocumentRecipe
from meshflow_prefect.bulk.running import check_summary, is_of_files, rows_to_file
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.bulk.summary import FileSummary
from meshflow_prefect.chunking import MAX_BYTES, MAX_REQUESTS
from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.documents import Documents, page_limit
from meshflow_prefect.documents.rows import DocumentRows
from meshflow_prefect.failures import OnFailure
from meshflow_prefect.filesystems import FileName
from meshflow_prefect.flow_type import batch_flow
from meshflow_prefect.keys import usable_credentials
from meshflow_prefect.ledger import OnCancel
from meshflow_prefect.models import DEFAULT_MODEL
from meshflow_prefect.queueing import MAX_IN_QUEUE
from meshflow_prefect.replayed import note_execution
from meshflow_prefect.terms import Terms
from meshflow_prefect.uses.artifacts import show
from meshflow_prefect.uses.documents_page import page_of


@batch_flow(is_of_files, name="bulk-documents", persist_result=True)
async def batch_documents(
    source: FileName,
    destination: FileName,
    instruction: str,
    *,
    output_type: Annotated[Any, SkipValidation] = None,
    system: str = "",
    model: str = DEFAULT_MODEL,
    max_tokens: int = 1024,
    params: Mapping[str, Any] | None = None,
    cache_system: bool = True,
    warm_cache: bool = False,
    on_bad_row: OnBadRow = "skip",
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
    """Run every document of a folder as one request, and write one row for each, in their order.

    Any number of documents, in bounded memory: one is read at a time, and as many batches as their
    bytes take are submitted as Anthropic's queue takes them. Waits, suspends and recovers as
    `batch_file` does: a process that is killed loses nothing, and no chunk is submitted again. An
    artifact of the run says in a table what came out, and which documents could not be read.

    Args:
        source: A file, a glob or a folder of `.txt`, `.md`, `.html`, `.pdf`, `.png`, `.jpg`,
            `.gif`, `.webp` and `.docx` (see `Documents`), local or any fsspec URL. A deployed run
            may go on on another worker, which has to see the same files.
        destination: The file to write, `.jsonl` or `.parquet`, local or a URL; there when it is
            whole. Its rows have the columns of `BatchResult` and `path`, `kind` and `bytes` of the
            document; `custom_id` is the document's path in the folder.
        instruction: What to do with each document: a text, which stands behind the document.
        output_type: What each reply has to be: a Pydantic model, a JSON Schema, or an import
            path; see `batch_agent_tasks`. The output's `parsed` has it as JSON.
        system: The system prompt; a text too.
        model: The model that answers. It decides how many pages a PDF may have.
        max_tokens: The most tokens that each reply may have.
        params: Other Messages parameters of every request.
        cache_system: Whether a system prompt that is long enough for the model is sent with the
            1-hour prompt cache.
        warm_cache: Whether the first document goes in a batch of its own, so that all others read
            the cache.
        on_bad_row: What to do with documents that cannot be read, or that Anthropic would refuse:
            `skip` them, so that the output's row says what is wrong, or `raise` before anything
            is submitted.
        overwrite: Whether a destination that exists is replaced.
        max_cost_usd: Refuses the job before anything is submitted when it may cost more, and sends
            no further chunk once so much is spent. Of more than 20 documents the bound goes by
            the one with the most tokens a byte: among PDF and images it is high.
        api_key: See `batch_agent_tasks`, as for all that follow.
        credentials: An AnthropicCredentials block, or the name of one.
        poll_interval: Seconds.
        wait_fraction: Of the time already waited.
        timeout: Seconds, from the creation of each batch.
        max_attempts: In how many batches a document may be sent.
        on_failure: `return` or `raise`; the output is written in any case.
        failure_threshold: The share of documents that may fail, those that cannot be read too.
        on_cancel: `cancel_batches` or `keep`.
        job_key: Names the job across runs.
        if_unknown: `stop`, `submit`, or the id of a batch.
        max_requests_in_queue: How many requests may wait at Anthropic at once, and so be in a
            batch.
        max_requests_per_batch: The most documents of a batch.
        max_bytes_per_batch: The most bytes of a batch.

    Returns:
        The figures; never the rows.

    Raises:
        SourceError: there are no documents; nothing was submitted.
        InvalidRequestError, BadRowsError, DestinationError: nothing was submitted.
        MeshflowError: a package that reads one of the kinds is missing: install
            `meshflow-prefect[documents]`.
        And what `batch_file` raises.
    """
    given = locals()
    note_execution()
    source, destination = os.fspath(source), os.fspath(destination)
    terms = Terms.among(given, key=await usable_credentials(api_key, credentials))
    how = Spooling(
        recipe=DocumentRecipe(
            instruction=instruction,
            system=system,
            model=model,
            max_tokens=max_tokens,
            params=params or {},
            output=terms.output,
            cache_system=terms.cache_system,
        ),
        first_alone=terms.warm_cache,
        limits=terms.limits,
        on_bad_row=on_bad_row,
        include_input=True,
    )
    summary = await rows_to_file(
        lambda: DocumentRows(Documents.open(source, max_pages=page_limit(model))),
        destination,
        how,
        terms,
        overwrite=overwrite,
        max_cost_usd=max_cost_usd,
        source=source,
    )
    await show("bulk-documents", page_of(summary), description="What became of the documents")
    check_summary(summary, terms)
    return summary
