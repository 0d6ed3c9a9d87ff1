"""Commands that look after batches: list, status, results, cancel."""

from __future__ import annotations

from contextlib import aclosing

from meshflow_prefect.cli.app import app, done, print_json, print_table
from meshflow_prefect.client import AnthropicBatchClient
from meshflow_prefect.models import BatchJob


@app.command(name="list")
def list_batches(*, limit: int = 20) -> None:
    """Show the newest batches of the key's workspace.

    Parameters
    ----------
    limit
        How many to show, at most.
    """
    from rich.table import Table

    async def read() -> list[BatchJob]:
        async with AnthropicBatchClient() as client:
            return await client.list(limit)

    table = Table("batch", "status", "requests", "succeeded", "errored", "created", "ended")
    for job in done(read()):
        table.add_row(
            job.batch_id,
            job.status,
            f"{job.total:,}",
            f"{job.request_counts['succeeded']:,}",
            f"{job.request_counts['errored']:,}",
            f"{job.created_at:%F %R}",
            f"{job.ended_at:%F %R}" if job.ended_at else "",
        )
    print_table(table)


@app.command
def status(batch_id: str) -> None:
    """Print a batch as JSON."""

    async def read() -> BatchJob:
        async with AnthropicBatchClient() as client:
            return await client.status(batch_id)

    print_json(done(read()).to_dict())


@app.command
def results(batch_id: str) -> None:
    """Print the results of an ended batch, one JSON object a line, in the API's order."""

    async def read() -> None:
        async with (
            AnthropicBatchClient() as client,
            # The reader of our output may leave, `head` say: then the stream is closed at once.
            aclosing(client.iter_results(batch_id)) as rows,
        ):
            async for result in rows:
                print_json(result.to_dict())

    done(read())


@app.command
def cancel(batch_id: str) -> None:
    """Ask Anthropic to stop a batch. What was processed before is kept, and billed."""

    async def ask() -> bool:
        async with AnthropicBatchClient() as client:
            return await client.cancel(batch_id)

    print("canceling" if done(ask()) else "It had already ended.")
