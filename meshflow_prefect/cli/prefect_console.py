"""Prefect in a command: it starts with the patience a command needs, and leaves it the console."""

from __future__ import annotations

import logging
import os

from meshflow_prefect.errors import MeshflowError

_OF_RUNS = ("prefect.engine", "prefect.flow_runs", "prefect.task_runs")


def prepare_prefect() -> None:
    """Import Prefect so that its lines do not run through a display, and warnings are shown.

    What ends a run is an error of the command, which tells it in one line: the console has it
    without Prefect's account of it, the run's log in the Prefect API has both. Settings of the
    environment win.
    """
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    # Where there is no server Prefect starts one, and the first makes its database: on a slow
    # machine that takes longer than the 20 s it is given.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    # And what such a server tells of itself, as it begins, at times finds its database locked.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    import prefect.main  # noqa: F401  (sets its logging up)

    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_for_the_console)


async def check_prefect() -> None:
    """Raise `MeshflowError` where the Prefect API that is set cannot be reached.

    A command that begins all the same would end with a traceback of many pages, and with the exit
    code 1, which is an answer of some commands.
    """
    from prefect import get_client

    async with get_client() as prefect:
        error = await prefect.api_healthcheck()
        if error is not None:
            raise MeshflowError(
                f"The Prefect API at {prefect.api_url} cannot be reached: {error}. Start it, or "
                "correct PREFECT_API_URL."
            ) from error


def _is_for_the_console(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not record.name.startswith(_OF_RUNS)
