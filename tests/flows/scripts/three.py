"""A job of three requests; prints how many have succeeded."""

from __future__ import annotations

import asyncio

from meshflow_prefect import batch_agent_tasks

results = asyncio.run(batch_agent_tasks(["One.", "Two.", "Three."], poll_interval=0.05))
print(sum(result.succeeded for result in results))
