"""Helpers for tests that speak HTTP to the emulator."""

from __future__ import annotations

import json
from typing import Any

import httpx

from meshflow_prefect.emulator import EmulatorClient

HEADERS = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
MODEL = "claude-haiku-4-5-20251001"
BATCHES = "/v1/messages/batches"


def client_of(emulator: EmulatorClient, **headers: str) -> httpx.Client:
    return httpx.Client(
        base_url=emulator.base_url, headers={**HEADERS, **headers}, timeout=30, trust_env=False
    )


def params(prompt: str = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "max_tokens": 1024, "messages": messages, **more}


def requests(*rows: dict[str, Any]) -> dict[str, Any]:
    """A create body with rows `row-0`, `row-1`, …"""
    return {"requests": [{"custom_id": f"row-{n}", "params": row} for n, row in enumerate(rows)]}


def create(api: httpx.Client, *rows: dict[str, Any]) -> dict[str, Any]:
    """Create a batch of these rows, or of one plain row."""
    answer = api.post(BATCHES, json=requests(*(rows or (params(),))))
    assert answer.status_code == 200, answer.text
    return answer.json()


def status_of(api: httpx.Client, batch_id: str) -> dict[str, Any]:
    answer = api.get(f"{BATCHES}/{batch_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def lines_of(api: httpx.Client, batch_id: str) -> list[dict[str, Any]]:
    """The result rows, in the order in which they come."""
    answer = api.get(f"{BATCHES}/{batch_id}/results")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.split(b"\n") if line]


def results_of(api: httpx.Client, batch_id: str) -> dict[str, dict[str, Any]]:
    """The results by custom id."""
    return {row["custom_id"]: row["result"] for row in lines_of(api, batch_id)}


def run(emulator: EmulatorClient, api: httpx.Client, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a batch of these rows, in the order of the rows."""
    batch_id = create(api, *rows)["id"]
    emulator.end(batch_id)
    found = results_of(api, batch_id)
    return [found[f"row-{n}"] for n in range(len(rows))]


def message_of(emulator: EmulatorClient, api: httpx.Client, row: dict[str, Any]) -> dict[str, Any]:
    """The message that answers one request."""
    result = run(emulator, api, row)[0]
    assert result["type"] == "succeeded", result
    message: dict[str, Any] = result["message"]
    return message


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """The status, the kind and the message of an error, whose envelope is checked here."""
    body = answer.json()
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["request-id"]
    return answer.status_code, body["error"]["type"], body["error"]["message"]
