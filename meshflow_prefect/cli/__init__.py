"""`meshflow-prefect …`: run files, look after batches, and run the emulator, from a terminal."""

from meshflow_prefect.cli import batches, emulator, files, runs  # noqa: F401  (its commands)
from meshflow_prefect.cli.app import app, main

__all__ = ["app", "main"]
