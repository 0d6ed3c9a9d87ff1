"""Calls that have ended, and whose stored results cannot be read: they are collected anew.

Prefect does not run a subflow again that has completed. It reads what the subflow returned from the
result storage, and where that is gone, or another worker cannot reach it, the flow around it would
fail with the error of a missing file, now and at every retry, although the batches are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from meshflow_prefect.errors import MeshflowError, ResultsLostError
from meshflow_prefect.reporting import counted

_NAMED = 10
"""How many batches an error names."""

_only_collecting: ContextVar[bool] = ContextVar("only_collecting", default=False)


def only_collecting() -> bool:
    """Whether the present call has ended once: its batches are in the ledger, or it is refused."""
    return _only_collecting.get()


@contextmanager
def collecting_only() -> Iterator[None]:
    """Have nothing submitted by what the block calls."""
    token = _only_collecting.set(True)
    try:
        yield
    finally:
        _only_collecting.reset(token)


def may_be_unreadable(error: Exception) -> bool:
    """Whether a call that was not executed may have raised this for want of its stored result.

    The storage decides what it raises. Running the call to collect only does no harm where it was
    something else.
    """
    import httpx
    from prefect.context import FlowRunContext
    from prefect.exceptions import MissingResult, PrefectException

    if FlowRunContext.get() is None:
        return False
    if isinstance(error, MissingResult):
        return True
    return not isinstance(error, (MeshflowError, PrefectException, httpx.HTTPError))


def unknown_batches(requests: int, batch_ids: Sequence[str]) -> ResultsLostError:
    """Return the error of a call whose batches cannot be told by what it asks for."""
    return ResultsLostError(
        f"This call had ended when the flow ran before, and what it returned cannot be read any "
        f"more. Its batch is not known by its content: it asks for {counted(requests, 'request')} "
        f"that were not submitted. Nothing was submitted now. {remedy(batch_ids)}",
        batch_ids=list(batch_ids),
    )


def remedy(batch_ids: Sequence[str]) -> str:
    """Say how to come to the results of batches, and how not to lose them again."""
    return (
        f"{_submitted(batch_ids)} Where the code was deployed anew, deploy the requests of then "
        "and retry the run. Where steps before it are persisted tasks, this worker cannot read "
        "their results, and they ran again: result storage has to be reachable by every worker "
        "that takes the run. A new run pays for its requests again."
    )


def _submitted(batch_ids: Sequence[str]) -> str:
    if not batch_ids:
        return "`meshflow-prefect submissions RUN` lists what the run has submitted."
    named = ", ".join(map(repr, batch_ids[:_NAMED]))
    rest = len(batch_ids) - _NAMED
    more = f" and {rest:,} more (`meshflow-prefect submissions RUN` lists them)" if rest > 0 else ""
    return (
        f"What this flow has paid for is collected by `batch_agent_tasks(batch_ids=[{named}])`"
        f"{more}."
    )
