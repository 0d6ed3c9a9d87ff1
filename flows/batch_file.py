"""Entrypoint of the deployment `batch-file`: every row of a file, in batches, to a file."""

from meshflow_prefect import batch_file

__all__ = ["batch_file"]
