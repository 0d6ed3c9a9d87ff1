"""A handle on a running emulator: its control routes as methods."""

from __future__ import annotations

from typing import Any
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
        """Make the emulator as new: no batches, no calls."""
        return self._ask("POST", "/emulator/reset")

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
