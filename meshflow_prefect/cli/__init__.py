"""`meshflow-prefect …`: run files, look after batches, and run the emulator, from a terminal."""

from meshflow_prefect.cli import (  # noqa: F401  (its commands)
    batches,
    documents,
    emulator,
    files,
    gate,
    runs,
)
from meshflow_prefect.cli.app import app, main

__all__ = ["app", "main"]
