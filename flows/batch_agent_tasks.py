"""Entrypoint of the deployment `batch-agent-tasks`: prompts in, results in the order of prompts."""

from meshflow_prefect import batch_agent_tasks

__all__ = ["batch_agent_tasks"]
