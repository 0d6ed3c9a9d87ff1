"""What is wrong with the tools of one request, and with the choice among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_CHOICES = ("auto", "any", "tool", "none")


def about_tools(params: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong, in the words of the API."""
    tools = params.get("tools")
    if tools is None:
        tools = []
    if not isinstance(tools, list):
        yield "tools: Input should be a valid list"
        return
    for at, tool in enumerate(tools):
        if not isinstance(tool, dict):
            yield f"tools.{at}: Input should be a valid dictionary"
        elif tool.get("type", "custom") == "custom" and not isinstance(tool.get("name"), str):
            yield f"tools.{at}.name: Field required"
        elif not isinstance(tool.get("input_schema", {}), dict):
            yield f"tools.{at}.input_schema: Input should be a valid dictionary"
    names = [tool["name"] for tool in tools if isinstance(tool.get("name"), str)]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    yield from _about_choice(params.get("tool_choice"), names)


def _about_choice(choice: object, names: list[str]) -> Iterator[str]:
    if choice is None:
        return
    if not isinstance(choice, dict):
        yield "tool_choice: Input should be a valid dictionary"
        return
    kind = choice.get("type")
    if kind not in _CHOICES:
        expected = ", ".join(map(repr, _CHOICES))
        yield (
            f"tool_choice: Input tag {kind!r} found using 'type' does not match any of the "
            f"expected tags: {expected}"
        )
    elif kind == "tool" and not isinstance(choice.get("name"), str):
        yield "tool_choice.tool.name: Field required"
    elif kind == "tool" and names and choice["name"] not in names:
        yield f"Tool '{choice['name']}' not found in provided tools"
