"""The package's own flows, as a deployment's entrypoint names them."""

from meshflow_prefect import batch_agent_tasks, batch_file

__all__ = ["batch_agent_tasks", "batch_file"]
