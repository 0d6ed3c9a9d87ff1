"""The floor: HTTP and JSON by hand, with no library between. It recovers from nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson

from benchmarks.job import Job, in_batches

_PREFIX = "task-"
_BEFORE = b'{"requests":['
_ITEMS_AT_ONCE = 100


def run(job: Job) -> None:
    headers = {
        "authorization": f"Bearer {os.environ['ANTHROPIC_API_KEY']}",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
    }
    with httpx.Client(
        base_url=os.environ["ANTHROPIC_BASE_URL"], headers=headers, timeout=600, trust_env=False
    ) as client:
        for rows in in_batches(job.rows(orjson.loads)):
            job.write(_lines(rows, _answers(client, job, rows)))


def _lines(rows: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Iterator[bytes]:
    for row, answer in zip(rows, answers, strict=True):
        message = answer["result"]["message"]
        line = {
            "id": row["id"],
            "output": message["content"][0]["text"],
            "input_tokens": message["usage"]["input_tokens"],
            "output_tokens": message["usage"]["output_tokens"],
        }
        yield orjson.dumps(line) + b"\n"


def _answers(client: httpx.Client, job: Job, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items = [_item(job, place, row) for place, row in enumerate(rows)]
    length = {"content-length": str(len(_BEFORE) + sum(map(len, items)) + len(items) + 1)}
    created = client.post("/v1/messages/batches", content=_body(items), headers=length)
    batch = created.raise_for_status().json()
    path = f"/v1/messages/batches/{batch['id']}"
    while batch["processing_status"] != "ended":
        time.sleep(job.poll_seconds)
        batch = client.get(path).raise_for_status().json()
    results: list[dict[str, Any]] = [{}] * len(rows)
    rest = b""
    with client.stream("GET", f"{path}/results") as answer:
        for piece in answer.iter_raw():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                result = orjson.loads(line)
                results[int(result["custom_id"][len(_PREFIX) :])] = result
    return results


def _item(job: Job, place: int, row: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "custom_id": f"{_PREFIX}{place}",
            "params": {
                "model": job.model,
                "max_tokens": job.max_tokens,
                "messages": [{"role": "user", "content": job.before_text + row["text"]}],
            },
        }
    )


def _body(items: list[bytes]) -> Iterator[bytes]:
    # In pieces: httpcore copies what is left of a body each time the socket has taken some of it.
    yield _BEFORE
    for at in range(0, len(items), _ITEMS_AT_ONCE):
        yield (b"," if at else b"") + b",".join(items[at : at + _ITEMS_AT_ONCE])
    yield b"]}"
