"""Prefect in a command: it starts with the patience a command needs, and leaves it the console."""

from __future__ import annotations

import logging
import os

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
    import prefect.main  # noqa: F401  (sets its logging up)

    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_for_the_console)


def _is_for_the_console(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not record.name.startswith(_OF_RUNS)
