"""Results that Prefect gives a call in place of an execution: whether they are what it asks for.

A flow that was suspended starts anew, and Prefect knows its subflows by their order. A flow that
makes other calls than before, because what it looks at has changed, would get what an earlier call
at the same place has returned, whatever it asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from meshflow_prefect.errors import ContentChangedError
from meshflow_prefect.lost_results import remedy


class Belongs(Protocol):
    """Says whether a result is that of a call."""

    def __call__(self, result: Any, asked: Mapping[str, Any], /) -> bool:
        """`asked` are the parameters of the call, those that were left out as well."""


class Call:
    """One call of a batch flow."""

    def __init__(self) -> None:
        self.was_executed = False
        """Whether the flow has run in this process, so that the result is its own."""


_call: ContextVar[Call | None] = ContextVar("call", default=None)


@contextmanager
def calling() -> Iterator[Call]:
    """Yield the call of a flow that the block makes."""
    token = _call.set(call := Call())
    try:
        yield call
    finally:
        _call.reset(token)


def note_execution() -> None:
    """Say that the flow of the present call runs. Each batch flow begins with this."""
    if (call := _call.get()) is not None:
        call.was_executed = True


def refusal(flow: str, batch_ids: Sequence[str]) -> ContentChangedError:
    """Return the error of a call that was given the result of another one.

    `batch_ids` are those that the flow around it has paid for.
    """
    return ContentChangedError(
        f"This call of {flow!r} asks for other requests than the call at its place did when the "
        "flow ran before, and Prefect has only the results of those. Nothing was submitted for it. "
        "A run that was suspended or is retried starts its flow anew, and must make the same calls "
        "in the same order: keep what it decides by (which rows are left, what is done already) in "
        "the result of a task that is persisted, or in its parameters. `submit_batch`, "
        f"`poll_batch` and `collect_results` go by the content instead. {remedy(batch_ids)}",
        batch_ids=list(batch_ids),
    )
