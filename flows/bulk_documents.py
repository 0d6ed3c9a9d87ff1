"""Entrypoint of the deployment `bulk-documents`: every document of a folder, a row of a file."""

from meshflow_prefect import batch_documents

__all__ = ["batch_documents"]
