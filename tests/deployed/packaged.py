"""The package's own flow, as a deployment's entrypoint names it."""

from meshflow_prefect import batch_agent_tasks

__all__ = ["batch_agent_tasks"]
