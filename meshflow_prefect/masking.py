"""What others say → the same without the key, which some gateways repeat."""

from __future__ import annotations

import re

_KEY, _MASK = re.compile(r"sk-ant-[\w-]+"), "********"


def without_key(words: str, key: str = "") -> str:
    """Return words without all that looks like a key of Anthropic's, and without `key`."""
    return _KEY.sub(_MASK, words.replace(key, _MASK) if key else words)


def holds_key(words: str) -> bool:
    """Whether something in it looks like a key of Anthropic's."""
    return _KEY.search(words) is not None
