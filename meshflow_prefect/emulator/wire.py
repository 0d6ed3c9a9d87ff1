"""The shapes on the wire that every endpoint shares: errors, headers, JSON answers."""

from __future__ import annotations

import hashlib
import secrets
import string
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

STATUS_OF_ERROR = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_ALPHABET = string.digits + string.ascii_letters


class ApiError(Exception):
    """An answer that is an error, in the words of the API."""

    def __init__(self, kind: str, message: str, *, retry_after: int | None = None) -> None:
        """Keep the kind of error, its message and how long to wait before trying again."""
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = STATUS_OF_ERROR[kind]
        self.retry_after = retry_after

    def response(self, request_id: str) -> Response:
        """Return this error as an HTTP answer."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return json_response(
            error_body(self.kind, self.message, request_id), status=self.status, headers=headers
        )


def error_body(kind: str, message: str, request_id: str | None) -> dict[str, Any]:
    """Return the body of an error; in a result row the request id is null."""
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


def json_response(
    body: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer in JSON."""
    return Response(
        orjson.dumps(body), status_code=status, headers=headers, media_type="application/json"
    )


def new_id(prefix: str, length: int = 22) -> str:
    """Return an identifier that looks like those of the API."""
    return prefix + "01" + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def derived_id(prefix: str, *parts: str) -> str:
    """Return an identifier that is the same whenever its parts are the same."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=11).hexdigest()
    return prefix + "01" + digest


def presented_key(request: Request) -> tuple[str | None, str]:
    """Return the key of a call and the name of the header it came in.

    The newest SDKs send a bearer token; older ones, and the documentation's curl lines, send
    `x-api-key`.
    """
    key = request.headers.get("x-api-key")
    if key:
        return key, "x-api-key"
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip(), "bearer token"
    return None, "x-api-key"


def fingerprint(key: str) -> str:
    """Enough of a key's hash to tell two keys apart, and nothing of the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
