"""Which operation of the API a call is, in one word, and on which batch."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope

_BATCHES = "/v1/messages/batches"
_OPERATIONS = {
    "POST /v1/messages": "messages",
    "POST /v1/messages/count_tokens": "count_tokens",
    f"POST {_BATCHES}": "create",
    f"GET {_BATCHES}": "list",
    f"GET {_BATCHES}/{{id}}": "retrieve",
    f"DELETE {_BATCHES}/{{id}}": "delete",
    f"GET {_BATCHES}/{{id}}/results": "results",
    f"POST {_BATCHES}/{{id}}/cancel": "cancel",
}
OPERATIONS = frozenset(_OPERATIONS.values())
ON_ONE_BATCH = frozenset({"retrieve", "delete", "results", "cancel"})
SHOWING_BATCHES = frozenset({"create", "retrieve", "list", "cancel"})


class Call(NamedTuple):
    """What a call asks; None for a path that the API does not have, and for no batch."""

    operation: str | None
    batch_id: str | None


def is_api_call(scope: Scope) -> bool:
    """Whether a call is one of the API, and not one of the emulator's own."""
    return bool(scope["type"] == "http" and scope["path"].startswith("/v1/"))


def call_of(scope: Scope) -> Call:
    """Return what a call asks."""
    endpoint, batch_id = split_path(scope["path"])
    return Call(_OPERATIONS.get(f"{scope['method']} {endpoint}"), batch_id)


def split_path(path: str) -> tuple[str, str | None]:
    """Return the path with a batch id replaced, so that calls can be counted, and that id."""
    parts = path.rstrip("/").split("/")
    if parts[:4] != _BATCHES.split("/") or len(parts) == 4:
        return "/".join(parts), None
    batch_id, parts[4] = parts[4], "{id}"
    return "/".join(parts), batch_id
