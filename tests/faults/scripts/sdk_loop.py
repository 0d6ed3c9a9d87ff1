"""The loop that everyone writes first: create, retrieve, results, with the SDK alone."""

from __future__ import annotations

import sys
import time

import anthropic


def main(count: int) -> None:
    client = anthropic.Anthropic()
    batch = client.messages.batches.create(
        requests=[
            {
                "custom_id": f"task-{n}",
                "params": {
                    "model": "claude-haiku-4-5-20251001",
                    "max_tokens": 64,
                    "messages": [{"role": "user", "content": f"Name the number {n}."}],
                },
            }
            for n in range(count)
        ]
    )
    while batch.processing_status != "ended":
        time.sleep(0.1)
        batch = client.messages.batches.retrieve(batch.id)
    print(sum(1 for _ in client.messages.batches.results(batch.id)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
