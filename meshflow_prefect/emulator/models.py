"""The models that the emulator knows, and how much each may write."""

from __future__ import annotations

import re

LONG_OUTPUT_BETA = "output-300k-2026-03-24"

_DEFAULT_OUTPUT = 128_000
_LONG_OUTPUT = 300_000
_OUTPUT = {
    "claude-3-haiku": 4_096,
    "claude-3-5-haiku": 8_192,
    "claude-3-7-sonnet": 64_000,
    "claude-opus-4": 32_000,
    "claude-sonnet-4": 64_000,
    "claude-opus-4-1": 32_000,
    "claude-haiku-4-5": 64_000,
    "claude-sonnet-4-5": 64_000,
    "claude-opus-4-5": 64_000,
    "claude-opus-4-6": _DEFAULT_OUTPUT,
    "claude-sonnet-4-6": _DEFAULT_OUTPUT,
    "claude-opus-4-7": _DEFAULT_OUTPUT,
    "claude-opus-4-8": _DEFAULT_OUTPUT,
    "claude-mythos-preview": _DEFAULT_OUTPUT,
    "claude-fable-5": _DEFAULT_OUTPUT,
    "claude-mythos-5": _DEFAULT_OUTPUT,
    "claude-opus-5": _DEFAULT_OUTPUT,
    "claude-sonnet-5": _DEFAULT_OUTPUT,
    "claude-fable-5-1": _DEFAULT_OUTPUT,
    "claude-mythos-5-1": _DEFAULT_OUTPUT,
    "claude-fable-5-2": _DEFAULT_OUTPUT,
    "claude-mythos-5-2": _DEFAULT_OUTPUT,
    "claude-haiku-5-5": _DEFAULT_OUTPUT,
    "claude-opus-5-5": _DEFAULT_OUTPUT,
    "claude-sonnet-5-5": _DEFAULT_OUTPUT,
}
_SNAPSHOT = re.compile(r"-(\d{8}|latest)$")


def maximum_output(model: str, *, betas: frozenset[str], extra: tuple[str, ...]) -> int | None:
    """Return the largest `max_tokens` of a model, or None for a model that does not exist."""
    known = _OUTPUT.get(model) or _OUTPUT.get(_SNAPSHOT.sub("", model))
    if known is None:
        return _DEFAULT_OUTPUT if model in extra else None
    return max(known, _LONG_OUTPUT) if LONG_OUTPUT_BETA in betas else known


def refuses_forced_tools(model: str) -> bool:
    """Whether a `tool_choice` that forces a tool fails: it does on the 5.5 models."""
    return _SNAPSHOT.sub("", model).endswith("-5-5")
