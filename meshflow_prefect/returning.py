"""Results on their way out of a flow.

Prefect looks into whatever a flow returns for futures, down to the last number of the last message.
That took 0.2 ms and 40 kB for each result, on the event loop: longer than submitting and collecting
them, and 20 seconds for a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

# Every store makes records, although the module does not list their class.
from prefect.results import ResultRecord, should_persist_result  # type: ignore[attr-defined]
from prefect.states import Completed

from meshflow_prefect.flow_type import BatchFlow

T = TypeVar("T")


class _WithoutFutures(ResultRecord[Any]):
    """What a flow returns, to be passed on as it is."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Yield what Prefect looks into: all but the result."""
        yield "metadata", self.metadata


async def without_search(returned: T) -> T:
    """Return what a batch flow may return in place of a value that holds no futures.

    The flow's callers get the value itself. A call of the flow's bare function gets it as well.
    """
    context = FlowRunContext.get()
    if context is None or not isinstance(context.flow, BatchFlow):
        return returned
    if context.flow_run is None or context.flow_run.run_count > 1:
        # Of a retry in the same process Prefect raises the error of the attempt before, whatever
        # the state that it returns.
        return returned
    store = context.result_store
    record = store.create_result_record(returned)
    if should_persist_result():
        try:
            await store.apersist_result_record(record)
        except Exception as error:  # noqa: BLE001  (as Prefect does: the results are here)
            get_run_logger().warning(
                "The results could not be stored (%s): this run returns them, but a run that is "
                "started again after it collects them from Anthropic anew.",
                error,
            )
    kept = _WithoutFutures(metadata=record.metadata, result=returned)
    return cast("T", Completed(data=kept))
