"""Results as the rows of a batch bring them."""

from __future__ import annotations

from typing import Any

from meshflow_prefect.models import BatchResult
from meshflow_prefect.results import parse_row
from tests.support.rows import of

MODEL = "claude-opus-5"


def replied(
    custom_id: str,
    text: str = "Hi.",
    *,
    input_tokens: int = 10,
    output_tokens: int = 5,
    **more: Any,
) -> BatchResult:
    """Return a result with a reply that is billed."""
    message = {
        "content": [{"type": "text", "text": text}],
        "model": MODEL,
        "stop_reason": "end_turn",
        "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens},
        **more,
    }
    return parse_row(of(custom_id, {"type": "succeeded", "message": message}))


def failed(custom_id: str, error: str = "overloaded_error", message: str = "Busy") -> BatchResult:
    """Return the result of a request that met an error, which is not billed."""
    inner = {"type": error, "message": message}
    return parse_row(of(custom_id, {"type": "errored", "error": {"type": "error", "error": inner}}))


def other(custom_id: str, kind: str) -> BatchResult:
    """Return the result of a request that was `canceled`, has `expired`, or is of a new kind."""
    return parse_row(of(custom_id, {"type": kind}))
