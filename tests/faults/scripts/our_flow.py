"""The same with our flow, in a script: a job key names the job for the next start."""

from __future__ import annotations

import asyncio
import sys

from meshflow_prefect import batch_agent_tasks


def main(count: int) -> None:
    tasks = [f"Name the number {n}." for n in range(count)]
    results = asyncio.run(batch_agent_tasks(tasks, poll_interval=0.2, job_key=f"{count} numbers"))
    print(sum(result.succeeded for result in results))


if __name__ == "__main__":
    main(int(sys.argv[1]))
