"""Entrypoint of the deployment `cancel-batches`: a run was cancelled, so are its batches."""

from meshflow_prefect import cancel_batches

__all__ = ["cancel_batches"]
