"""What is wrong inside the `params` of one request.

A batch is accepted without looking at this. The row comes back as `errored` when the batch ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshflow_prefect.emulator.models import maximum_output, refuses_forced_tools
from meshflow_prefect.emulator.tool_rules import about_tools

STRICT_VERSION = "2026-10-21"
"""From this `anthropic-version` on, sampling parameters are refused."""

_EARLIER_VERSIONS = ("2023-01-01", "2023-06-01")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")

REFUSED_IN_A_BATCH = (
    "speed",
    "store",
    "previous_thread_event_id",
    "cache_hint",
    "context_hint",
    "fallbacks",
)
_SAMPLING = ("temperature", "top_p", "top_k")
_KNOWN = frozenset(
    {
        "billing_policy",
        "cache_control",
        "compaction",
        "container",
        "context_management",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "mcp_servers",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "prefill",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "thinking",
        "thread",
        "tool_choice",
        "tools",
        "user_profile_id",
        *_SAMPLING,
        *REFUSED_IN_A_BATCH,
    }
)


class Problem(NamedTuple):
    """Why a request fails: the kind of the error and its message."""

    kind: str
    message: str


@dataclass(frozen=True)
class Rules:
    """What a request is checked against."""

    version: str
    betas: frozenset[str] = frozenset()
    extra_models: tuple[str, ...] = ()
    in_batch: bool = True


def is_version(text: str) -> bool:
    """Whether this is a version of the API. Those to come are taken for one."""
    return text in _EARLIER_VERSIONS or (
        _DATE.fullmatch(text) is not None and text >= STRICT_VERSION
    )


def problem_of(params: dict[str, Any], rules: Rules) -> Problem | None:
    """Return the first thing wrong with the parameters of a request, if anything is."""
    for message in _messages_about(params, rules):
        return Problem("invalid_request_error", message)
    model = params["model"]
    limit = maximum_output(model, betas=rules.betas, extra=rules.extra_models)
    if limit is None:
        return Problem("not_found_error", f"model: {model}")
    if params["max_tokens"] > limit:
        return Problem(
            "invalid_request_error",
            f"max_tokens: {params['max_tokens']} > {limit}, which is the maximum allowed number "
            f"of output tokens for {model}",
        )
    choice = params.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") in ("any", "tool"):
        if refuses_forced_tools(model):
            return Problem(
                "invalid_request_error",
                f"tool_choice: forced tool use is not supported by {model}",
            )
        if not params.get("tools"):
            return Problem("invalid_request_error", "tool_choice: may only be specified with tools")
    return None


def _messages_about(params: dict[str, Any], rules: Rules) -> Iterator[str]:
    if rules.in_batch:
        if params.get("stream"):
            yield '"stream=True" is not supported in the Message Batches API'
        for name in REFUSED_IN_A_BATCH:
            if name in params:
                yield f'"{name}" is not supported in the Message Batches API'
    for name in ("model", "max_tokens", "messages"):
        if name not in params:
            yield f"{name}: Field required"
    if not params.keys() <= _KNOWN:
        unknown = min(params.keys() - _KNOWN)
        yield f"{unknown}: Extra inputs are not permitted"
    if rules.version >= STRICT_VERSION:
        for name in _SAMPLING:
            if name in params:
                yield f"{name}: Extra inputs are not permitted"
    yield from _about_scalars(params)
    yield from _about_sampling(params)
    yield from about_tools(params)
    yield from _about_system(params.get("system"))
    yield from _about_conversation(params["messages"])
    yield from _about_thinking(params)


def _about_scalars(params: dict[str, Any]) -> Iterator[str]:
    if not isinstance(params["model"], str):
        yield "model: Input should be a valid string"
    elif not params["model"]:
        yield "model: String should have at least 1 character"
    tokens = params["max_tokens"]
    if not isinstance(tokens, int) or isinstance(tokens, bool):
        yield "max_tokens: Input should be a valid integer"
    elif tokens < 1:
        yield "max_tokens: Input should be greater than or equal to 1"
    for name, expected in (("stop_sequences", list), ("output_config", dict)):
        value = params.get(name)
        if value is not None and not isinstance(value, expected):
            kind = "list" if expected is list else "dictionary"
            yield f"{name}: Input should be a valid {kind}"
    for at, stop in enumerate(params.get("stop_sequences") or ()):
        if not isinstance(stop, str):
            yield f"stop_sequences.{at}: Input should be a valid string"
        elif not stop.strip():
            yield "stop_sequences: each stop sequence must contain non-whitespace"


def _about_sampling(params: dict[str, Any]) -> Iterator[str]:
    for name, most in (("temperature", 1), ("top_p", 1), ("top_k", None)):
        value = params.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            yield f"{name}: Input should be a valid number"
        elif value < 0:
            yield f"{name}: Input should be greater than or equal to 0"
        elif most is not None and value > most:
            yield f"{name}: Input should be less than or equal to {most}"


def _about_system(system: object) -> Iterator[str]:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        yield "system: Input should be a valid string or list"
        return
    for at, block in enumerate(system):
        if not isinstance(block, dict) or not isinstance(block.get("text"), str):
            yield f"system.{at}.text: Field required"
        elif not block["text"]:
            yield "system: text content blocks must be non-empty"


def _about_conversation(messages: object) -> Iterator[str]:
    if not isinstance(messages, list):
        yield "messages: Input should be a valid list"
        return
    if not messages:
        yield "messages: at least one message is required"
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            yield f"messages.{at}: Input should be a valid dictionary"
            continue
        if message.get("role") not in ("user", "assistant", "system"):
            yield f"messages.{at}.role: Input should be 'user' or 'assistant'"
        if "content" not in message:
            yield f"messages.{at}.content: Field required"
            continue
        last_of_assistant = at == len(messages) - 1 and message.get("role") == "assistant"
        yield from _about_content(at, message["content"], may_be_empty=last_of_assistant)


def _about_content(at: int, content: object, *, may_be_empty: bool) -> Iterator[str]:
    if not isinstance(content, str | list):
        yield f"messages.{at}.content: Input should be a valid string or list"
        return
    if not content and not may_be_empty:
        yield (
            f"messages.{at}: all messages must have non-empty content except for the optional "
            "final assistant message"
        )
    if isinstance(content, str):
        return
    for index, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            yield f"messages.{at}.content.{index}.type: Field required"
        elif block["type"] == "text" and not isinstance(block.get("text"), str):
            yield f"messages.{at}.content.{index}.text: Field required"
        elif block["type"] == "text" and not block["text"]:
            yield "messages: text content blocks must be non-empty"


def _about_thinking(params: dict[str, Any]) -> Iterator[str]:
    thinking = params.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        yield "thinking.enabled.budget_tokens: Field required"
    elif budget < 1024:
        yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    elif budget >= params["max_tokens"]:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`"
