"""Rows of a results file, and an API that serves them as a test tells it to."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from tests.support.scripted import Answer, ScriptedApi


def good(custom_id: str, text: str = "Hi.") -> bytes:
    """Return the row of a request that succeeded."""
    message = {"content": [{"type": "text", "text": text}]}
    return of(custom_id, {"type": "succeeded", "message": message})


def of(custom_id: str, result: object) -> bytes:
    """Return the row of a request with any result."""
    return orjson.dumps({"custom_id": custom_id, "result": result})


def file(*rows: bytes) -> Answer:
    """Return a results file of these rows that ends well."""
    return Answer(200, b"".join(row + b"\n" for row in rows))


def cut(*rows: bytes) -> Answer:
    """Return a results file that is cut after these rows."""
    return Answer(200, file(*rows).body + b'{"custom_id": "row-', lacks=99)


def serve(api: ScriptedApi, answers: Iterable[Answer | None]) -> list[Answer | None]:
    """Have the results calls answered so, in turn; return the answers that are left."""
    left = list(answers)
    api.script = lambda call: left.pop(0) if left and call.endswith("/results") else None
    return left
