"""A handle on a running emulator: its control routes as methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import orjson

from meshflow_prefect.emulator.settings import DEFAULT_KEY

_SECONDS_TO_ANSWER = 120.0

# No proxy: the emulator is on this machine, whatever the environment says of other places.
_OPENER = build_opener(ProxyHandler({}))


class EmulatorError(RuntimeError):
    """The emulator refused what it was told."""


class EmulatorClient:
    """A handle on an emulator at `base_url`, in this process or in another one."""

    def __init__(self, base_url: str, *, api_key: str = DEFAULT_KEY) -> None:
        self.base_url = base_url.rstrip("/")
        """Where the API is, for a client's `base_url`."""

        self.api_key = api_key
        """A key that the emulator accepts."""

    def environment(self) -> dict[str, str]:
        """Return the variables that point an SDK, or a child process, at this emulator."""
        return {"ANTHROPIC_BASE_URL": self.base_url, "ANTHROPIC_API_KEY": self.api_key}

    def state(self) -> dict[str, Any]:
        """Return the clock, the number of calls by endpoint and the number of batches."""
        return self._ask("GET", "/emulator/state")

    def batches(self) -> list[dict[str, Any]]:
        """Every batch, the newest first: id, status, requests, request_counts, times."""
        found: list[dict[str, Any]] = self._ask("GET", "/emulator/batches")["batches"]
        return found

    def calls(self, last: int = 10_000) -> list[dict[str, Any]]:
        """Return the last calls of the API, the oldest first; a key only as a fingerprint."""
        found: list[dict[str, Any]] = self._ask("GET", f"/emulator/calls?last={last}")["calls"]
        return found

    def spend(self) -> dict[str, dict[str, int]]:
        """Return the usage that ended batches bill, by model."""
        found: dict[str, dict[str, int]] = self._ask("GET", "/emulator/spend")["models"]
        return found

    def advance(self, seconds: float) -> dict[str, Any]:
        """Move the emulator's clock forward; its state after that."""
        return self._ask("POST", "/emulator/clock", {"advance": seconds})

    def end(self, batch_id: str) -> dict[str, Any]:
        """End a batch now, whatever time it is."""
        return self._ask("POST", f"/emulator/batches/{quote(batch_id, safe='')}/end")

    def reset(self) -> dict[str, Any]:
        """Make the emulator as new: no batches, no calls, no faults."""
        return self._ask("POST", "/emulator/reset")

    def plan(self, *faults: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add to what is to go wrong; the whole plan after that.

        ```python
        emulator.plan(
            {"on": "create", "status": 500, "accept": True},  # a batch is made, its answer lost
            {"on": "results", "cut_after": 1000, "times": 2},
            {"on": "rows", "custom_id": "task-3-*", "outcome": "errored"},
        )
        emulator.plan({"on": "retrieve", "hold": "before"})  # waits for emulator.release()
        ```

        What a fault can say is in `meshflow_prefect.emulator.faults` and in `row_faults`.
        """
        return self._plan("POST", {"faults": [dict(fault) for fault in faults]})

    def faults(self) -> list[dict[str, Any]]:
        """Return the plan: each fault with how often it has `fired` and the calls it has `held`."""
        return self._plan("GET")

    def clear_faults(self) -> None:
        """Let nothing go wrong any more; calls that are held go on."""
        self._plan("DELETE")

    def release(self) -> int:
        """Let every held call go on; how many there were."""
        released: int = self._ask("POST", "/emulator/faults/release")["released"]
        return released

    def go_away(self, seconds: float, how: Literal["drop", "status"] = "drop") -> None:
        """Leave every call of the API unanswered, or with a 503, for emulated seconds from now."""
        self.plan({"on": "any", "away": seconds, "how": how})

    def _plan(self, method: str, body: object = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(method, "/emulator/faults", body)["faults"]
        return found

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        request = Request(  # noqa: S310 - the address is the emulator's own
            self.base_url + path,
            method=method,
            data=orjson.dumps(body) if method == "POST" else None,
            headers={"content-type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=_SECONDS_TO_ANSWER) as answer:
                found: dict[str, Any] = orjson.loads(answer.read())
        except HTTPError as refusal:
            with refusal:
                text = refusal.read().decode(errors="replace")
            raise EmulatorError(f"{method} {path}: {refusal.code} {text}") from None
        return found
