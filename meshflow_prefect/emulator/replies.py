"""The reply to one request: deterministic, and made of the words of its prompt.

A prompt can ask for an outcome with a marker in its text, see `markers`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import orjson

from meshflow_prefect.emulator.markers import asked_by
from meshflow_prefect.emulator.schema import UnsatisfiableSchemaError, value_for
from meshflow_prefect.emulator.tokens import CHARACTERS_PER_TOKEN, CachedTokens, tokens_of
from meshflow_prefect.emulator.tokens import count_tokens as count_prompt_tokens
from meshflow_prefect.emulator.usage import usage_of
from meshflow_prefect.emulator.validation import Problem
from meshflow_prefect.emulator.wire import derived_id

_WORD = re.compile(r"[^\W_][\w'-]*")
_SENTENCE_END = re.compile(r"[.!?\n]")
_LOOKED_AT = 300  # characters of a prompt that shape the text of the reply
_QUOTED_WORDS = 12
_THINKING = "The question is what is asked here, and the answer has to use its own words."
_STOPPED_BY = {"pause": "pause_turn", "context_window": "model_context_window_exceeded"}
_OPENINGS = ("In short", "Briefly", "To answer directly", "Here is the gist", "As I read it")
# Before, between and after two words of the prompt, and how many words that makes with them.
_SENTENCES = (
    ("It comes down to ", " and ", ".", 7),
    ("The part about ", " matters most, then ", ".", 8),
    ("Start with ", "; ", " follows from it.", 7),
    ("What is said of ", " also holds for ", ".", 9),
    ("Keep ", " apart from ", ".", 5),
)
_FOR_LACK_OF_WORDS = ("context", "detail")


@dataclass
class _Draft:
    """A reply while it is being written."""

    content: list[dict[str, Any]]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    web_searches: int = 0
    thinking_tokens: int = 0


def reply_to(
    params: dict[str, Any],
    *,
    unique: str,
    cached: CachedTokens,
    service_tier: str,
    words_wanted: int | None,
    text: str | None = None,
) -> dict[str, Any] | Problem:
    """Return the message that answers a valid request, or the problem that came up in writing it.

    The content is `text`, or a function of `params` alone; `unique` tells the ids of equal replies
    apart.
    """
    try:
        draft = (
            _draft(params, unique=unique, words_wanted=words_wanted)
            if text is None
            else _Draft([_text_block(text)])
        )
    except UnsatisfiableSchemaError as problem:
        return Problem("invalid_request_error", f"output_config.format.schema: {problem}")
    visible = _fit(draft, params)
    return {
        "id": derived_id("msg_", unique),
        "type": "message",
        "role": "assistant",
        "model": params["model"],
        "content": draft.content,
        "stop_reason": draft.stop_reason,
        "stop_sequence": draft.stop_sequence,
        "stop_details": draft.stop_details,
        "usage": usage_of(
            prompt_tokens=count_prompt_tokens(params),
            cached=cached,
            output_tokens=visible + draft.thinking_tokens,
            thinking_tokens=draft.thinking_tokens,
            web_searches=draft.web_searches,
            inference_geo=params.get("inference_geo"),
            service_tier=service_tier,
        ),
    }


def _draft(params: dict[str, Any], *, unique: str, words_wanted: int | None) -> _Draft:
    asked = asked_by(params)
    if "refuse" in asked.outcomes:
        return _Draft(
            [],
            stop_reason="refusal",
            stop_details={"type": "refusal", "category": None, "explanation": None},
        )
    words = _WORD.findall(asked.spoken[:_LOOKED_AT]) or ["nothing"]
    draft = _Draft([])
    _think(draft, params, unique)
    tool = _tool_to_use(params, asked="tool_use" in asked.outcomes)
    if tool is not None:
        _use_tool(draft, tool, words, unique=unique)
        return draft
    if "search" in asked.outcomes and _server_tool(params, "web_search_") is not None:
        _search_web(draft, words, unique=unique)
    if asked.reply is not None:
        text = asked.reply
    elif (output := _output_schema(params)) is not None:
        text = orjson.dumps(value_for(output, words)).decode()
    else:
        wanted = words_wanted if asked.words is None else asked.words
        text = _text(params, asked.spoken, words, wanted=wanted)
    draft.content.append(_text_block(text))
    for marker, reason in _STOPPED_BY.items():
        if marker in asked.outcomes:
            draft.stop_reason = reason
    return draft


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _text(params: dict[str, Any], prompt: str, words: list[str], *, wanted: int | None) -> str:
    # A hash of the params and not of the prompt alone, so that another model or another system
    # prompt gives another reply.
    canonical = orjson.dumps(params, option=orjson.OPT_SORT_KEYS)
    dice = hashlib.shake_128(hashlib.blake2b(canonical, digest_size=16).digest())
    length = max(1, wanted) if wanted is not None else 20 + dice.digest(1)[0] % 41
    telling = sorted({word for word in words if len(word) > 3})
    if len(telling) < 2:
        telling += [word for word in _FOR_LACK_OF_WORDS if word not in telling]
    sentence = _SENTENCE_END.split(prompt[:_LOOKED_AT], maxsplit=1)[0]
    quoted = " ".join(sentence.split()[:_QUOTED_WORDS])
    # A byte for each choice, as many as the longest reply can need.
    choices = iter(dice.digest(1 + 3 * length))
    text = f"{_OPENINGS[next(choices) % len(_OPENINGS)]}: you ask about \u201c{quoted}\u201d."
    said = [text]
    count = text.count(" ") + 1
    kinds, sentences = len(telling), len(_SENTENCES)
    for kind, one, step in zip(choices, choices, choices, strict=True):
        if count >= length:
            break
        before, between, after, size = _SENTENCES[kind % sentences]
        other = (one + 1 + step % (kinds - 1)) % kinds  # never the same word twice
        said.append(f"{before}{telling[one % kinds]}{between}{telling[other]}{after}")
        count += size
    text = " ".join(said)
    return text if wanted is None else text.rsplit(" ", max(0, count - length))[0]


def _output_schema(params: dict[str, Any]) -> dict[str, Any] | None:
    # `output_format` is the name from the time when structured output was a beta.
    config = params.get("output_config") or {}
    wanted = config.get("format") or params.get("output_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    schema: dict[str, Any] | None = wanted.get("schema")
    if not isinstance(schema, dict):
        raise UnsatisfiableSchemaError("Field required")
    return schema


def _think(draft: _Draft, params: dict[str, Any], unique: str) -> None:
    thinking = params.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        draft.content.append(
            {"type": "thinking", "thinking": _THINKING, "signature": derived_id("sig_", unique)}
        )
        draft.thinking_tokens = tokens_of(_THINKING)


def _tool_to_use(params: dict[str, Any], *, asked: bool) -> dict[str, Any] | None:
    every: list[dict[str, Any]] = params.get("tools") or []
    tools = [tool for tool in every if "input_schema" in tool]
    choice = params.get("tool_choice") or {}
    if choice.get("type") == "tool":
        return next((tool for tool in tools if tool.get("name") == choice.get("name")), None)
    if tools and (choice.get("type") == "any" or (asked and choice.get("type") != "none")):
        return tools[0]
    return None


def _use_tool(draft: _Draft, tool: dict[str, Any], words: list[str], *, unique: str) -> None:
    draft.content.append(
        {
            "type": "tool_use",
            "id": derived_id("toolu_", unique),
            "name": tool["name"],
            "input": value_for({"type": "object", **tool["input_schema"]}, words),
        }
    )
    draft.stop_reason = "tool_use"


def _server_tool(params: dict[str, Any], kind: str) -> dict[str, Any] | None:
    tools = params.get("tools") or ()
    return next((tool for tool in tools if str(tool.get("type")).startswith(kind)), None)


def _search_web(draft: _Draft, words: list[str], *, unique: str) -> None:
    use_id = derived_id("srvtoolu_", unique)
    query = " ".join(words[:6])
    found = {
        "type": "web_search_result",
        "title": f"About {query}",
        "url": "https://example.com/" + "-".join(words[:3]).lower(),
        "encrypted_content": derived_id("enc_", unique),
        "page_age": None,
    }
    draft.content += [
        {"type": "server_tool_use", "id": use_id, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": use_id, "content": [found]},
    ]
    draft.web_searches = 1


def _fit(draft: _Draft, params: dict[str, Any]) -> int:
    """Cut the text at a stop sequence or at `max_tokens`; the tokens of what remains."""
    tokens = 0
    for block in draft.content:
        if block["type"] == "tool_use":
            tokens += tokens_of(orjson.dumps(block["input"]).decode())
        if block["type"] != "text":
            continue
        text = block["text"]
        found = [(text.find(stop), stop) for stop in params.get("stop_sequences") or ()]
        at, stop = min(((at, stop) for at, stop in found if at >= 0), default=(-1, ""))
        if at >= 0:
            text = text[:at]
            draft.stop_reason, draft.stop_sequence = "stop_sequence", stop
        room = (params["max_tokens"] - draft.thinking_tokens - tokens) * CHARACTERS_PER_TOKEN
        if len(text) > room:
            text = text[: max(0, room)]
            draft.stop_reason, draft.stop_sequence = "max_tokens", None
        block["text"] = text
        tokens += tokens_of(text)
    return max(1, tokens)
