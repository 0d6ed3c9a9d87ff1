"""The log of a use case: that of its flow run, where it is called in one."""

from __future__ import annotations

from meshflow_prefect.reporting import Logger


def logger() -> Logger:
    """Return the logger of the current flow run, or one of Prefect's outside of any."""
    from prefect.context import FlowRunContext
    from prefect.logging import get_logger, get_run_logger

    if FlowRunContext.get() is None:
        return get_logger("meshflow")
    return get_run_logger()
