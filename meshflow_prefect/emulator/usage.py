"""The usage of one reply, as the API bills it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from meshflow_prefect.emulator.tokens import CachedTokens


def usage_of(
    *,
    prompt_tokens: int,
    cached: CachedTokens,
    output_tokens: int,
    thinking_tokens: int,
    web_searches: int,
    inference_geo: str | None,
    service_tier: str,
) -> dict[str, Any]:
    """Return the `usage` of a message. `input_tokens` is the uncached rest of the prompt."""
    written = cached.written_5m + cached.written_1h
    return {
        "input_tokens": prompt_tokens - cached.read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": cached.written_5m,
            "ephemeral_1h_input_tokens": cached.written_1h,
        },
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": thinking_tokens} if thinking_tokens else None,
        "server_tool_use": (
            {"web_search_requests": web_searches, "web_fetch_requests": 0} if web_searches else None
        ),
        "service_tier": service_tier,
        "inference_geo": inference_geo or "global",
    }


class Spend:
    """The usage of many replies, added up by model."""

    def __init__(self) -> None:
        self.by_model: dict[str, dict[str, int]] = {}

    def add(self, model: str, usage: dict[str, Any]) -> None:
        """Add one reply."""
        tools = usage["server_tool_use"] or {}
        self._add(
            model,
            {
                "requests": 1,
                "input_tokens": usage["input_tokens"],
                "cache_read_input_tokens": usage["cache_read_input_tokens"],
                **usage["cache_creation"],
                "output_tokens": usage["output_tokens"],
                "web_search_requests": tools.get("web_search_requests", 0),
            },
        )

    def merge(self, others: Iterable[Spend]) -> None:
        """Add what others have added up."""
        for other in others:
            for model, counts in other.by_model.items():
                self._add(model, counts)

    def _add(self, model: str, counts: dict[str, int]) -> None:
        totals = self.by_model.setdefault(model, dict.fromkeys(counts, 0))
        for name, count in counts.items():
            totals[name] += count
