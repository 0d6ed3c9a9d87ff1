"""What a prompt asks of the emulator: outcomes by markers in the text of its last user turn.

- `[[refuse]]` is refused (`stop_reason` "refusal");
- `[[tool_use]]` calls the first tool of the request;
- `[[search]]` searches the web, where the request has the web search tool;
- `[[pause]]` and `[[context_window]]` stop with "pause_turn" and
  "model_context_window_exceeded";
- `[[words 500]]` makes a reply of 500 words;
- `[[reply: {"total": 7}]]` makes the reply exactly this text, whatever schema was asked for, so
  that it can also be one that breaks it. `max_tokens` and stop sequences still cut it;
- `[[reply when lamp: Yes.]]` does so only where the rest of the prompt has the words `lamp` in it.
  Of several replies the first that applies is given.

A reply that differs from batch to batch can be planned, see `row_faults`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_MARKER = re.compile(r"\[\[(refuse|tool_use|search|pause|context_window|words (\d{1,6}))\]\]")
# What looks like JSON may hold brackets of its own, such as `[[reply: {"rows": [[1], [2]]}]]`;
# behind other texts a sentence may go on: `[[reply: Yes.]], please`.
_REPLY = re.compile(
    r"\[\[reply(?: when ([^:\]]+))?: "
    r"((?=[\[{]).*?(?=\]\](?!\s*[\]},]))|(?![\[{]).*?(?=\]\](?!\])))\]\]",
    re.DOTALL,
)


class Asked(NamedTuple):
    """What a prompt asks for."""

    spoken: str
    """Its text without markers."""
    outcomes: frozenset[str]
    """The markers that stand alone, such as `refuse`."""
    words: int | None
    """The length of the reply; None where it is not said."""
    reply: str | None
    """The whole reply; None where it is not said."""


def asked_by(params: dict[str, Any]) -> Asked:
    """Return what the last user turn of a valid request asks for."""
    prompt = _last_user_text(params)
    rest = _REPLY.sub("", prompt)
    replies = (text for condition, text in _REPLY.findall(prompt) if condition in rest)
    markers = {match.group(1): match.group(2) for match in _MARKER.finditer(rest)}
    lengths = [int(count) for count in markers.values() if count]
    return Asked(
        spoken=_MARKER.sub("", rest).strip(),
        outcomes=frozenset(markers),
        words=lengths[0] if lengths else None,
        reply=next(replies, None),
    )


def _last_user_text(params: dict[str, Any]) -> str:
    for message in reversed(params["messages"]):
        if message["role"] != "user":
            continue
        content = message["content"]
        if isinstance(content, str):
            return content
        return "\n".join(filter(None, map(_text_of, content)))
    return ""


def _text_of(block: dict[str, Any]) -> str:
    """Return the text of a text block, or of a document that is plain text."""
    text, source = block.get("text"), block.get("source")
    if block["type"] == "document" and isinstance(source, dict) and source.get("type") == "text":
        text = source.get("data")
    return text if isinstance(text, str) else ""
