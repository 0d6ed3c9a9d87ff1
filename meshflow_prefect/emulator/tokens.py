"""How many tokens a request has, and which of them a prompt cache holds.

A token is four characters. The parts of a request stand in the order in which a real prompt has
them (tools, system, messages), because a cached prefix ends at one of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = 1_600
DOCUMENT_TOKENS = 2_000
_MESSAGE_TOKENS = 3  # the marks of a turn
_SECONDS_OF_TTL = {"5m": 300.0, "1h": 3600.0}


class CachedTokens(NamedTuple):
    """The part of a prompt that the cache has to do with."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0


class _Part(NamedTuple):
    tokens: int
    content: Any
    cache_control: Any


def tokens_of(text: str) -> int:
    """Return the tokens of a text; even the empty text has one."""
    return max(1, -(-len(text) // CHARACTERS_PER_TOKEN))


def count_tokens(params: dict[str, Any]) -> int:
    """Return the tokens of a whole prompt, as `count_tokens` answers."""
    return sum(part.tokens for part in _parts(params))


def _parts(params: dict[str, Any]) -> Iterator[_Part]:
    for tool in params.get("tools") or ():
        yield _Part(tokens_of(_json(tool)), tool, _control(tool))
    system = params.get("system")
    if isinstance(system, str) and system:
        yield _Part(tokens_of(system), system, None)
    elif isinstance(system, list):
        for block in system:
            yield _Part(_block_tokens(block), block, _control(block))
    for message in params.get("messages") or ():
        role, content = message.get("role"), message.get("content")
        if isinstance(content, str):
            yield _Part(tokens_of(content) + _MESSAGE_TOKENS, (role, content), None)
            continue
        for at, block in enumerate(content or ()):
            extra = 0 if at else _MESSAGE_TOKENS
            yield _Part(_block_tokens(block) + extra, (role, block), _control(block))


def _block_tokens(block: dict[str, Any]) -> int:
    kind = block.get("type")
    if kind == "text" or (kind is None and "text" in block):
        return tokens_of(block["text"])
    if kind == "image":
        return IMAGE_TOKENS
    if kind == "document":
        source = block.get("source")
        text = source.get("data") if isinstance(source, dict) else None
        is_text = isinstance(source, dict) and source.get("type") == "text"
        return tokens_of(text) if is_text and isinstance(text, str) else DOCUMENT_TOKENS
    return tokens_of(_json(block))


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _control(block: object) -> Any:
    return block.get("cache_control") if isinstance(block, dict) else None


class PromptCache:
    """The prefixes that requests have asked to be cached, by workspace and model.

    Requests are looked up in the order in which they arrive: the first with a prefix writes it, as
    all do that run at the same time, and the later ones read it while it lives. It is kept in
    memory only, so a restart empties it.
    """

    def __init__(self, *, minimum_tokens: int, concurrent: int) -> None:
        self.minimum_tokens = minimum_tokens
        self.concurrent = concurrent
        self._lives_until: dict[bytes, float] = {}

    def session(self, *, workspace: str, now: float, delay: float) -> CacheSession:
        """Look prefixes up for one batch, which reaches the models `delay` seconds from now."""
        return CacheSession(self, workspace, now, delay)

    def lives_until(self, prefix: bytes) -> float:
        """When a prefix is forgotten; 0 for one that is not known."""
        return self._lives_until.get(prefix, 0.0)

    def keep(self, prefixes: dict[bytes, float]) -> None:
        """Let prefixes live at least until the given times."""
        for prefix, until in prefixes.items():
            self._lives_until[prefix] = max(until, self.lives_until(prefix))

    def clear(self) -> None:
        """Forget everything."""
        self._lives_until.clear()


class CacheSession:
    """The lookups of one batch. What it wrote is kept only when the batch is accepted."""

    def __init__(self, cache: PromptCache, workspace: str, now: float, delay: float) -> None:
        self._cache = cache
        self._workspace = workspace
        self._now = now
        self._delay = delay
        self._written: dict[bytes, float] = {}
        self._writers: Counter[bytes] = Counter()

    def commit(self) -> None:
        """Make what this session wrote and refreshed visible to others."""
        self._cache.keep(self._written)

    def look_up(self, params: dict[str, Any]) -> CachedTokens:
        """Return what this request reads from the cache, and what it writes."""
        parts = list(_parts(params))
        if not parts:
            return CachedTokens()
        ends = {at: part.cache_control for at, part in enumerate(parts) if part.cache_control}
        if params.get("cache_control"):
            ends.setdefault(len(parts) - 1, params["cache_control"])
        if not ends:
            return CachedTokens()
        return self._consult(str(params.get("model")), parts, ends)

    def _consult(self, model: str, parts: list[_Part], ends: dict[int, Any]) -> CachedTokens:
        running = hashlib.blake2b(f"{self._workspace}\0{model}".encode(), digest_size=16)
        total = read = end_of_read = 0
        to_write: list[tuple[bytes, int, str]] = []
        for at, part in enumerate(parts[: max(ends) + 1]):
            running.update(_fixed(part.content))
            total += part.tokens
            prefix = running.digest()
            control = ends.get(at)
            ttl = control.get("ttl") if isinstance(control, dict) else None
            ttl = ttl if ttl in _SECONDS_OF_TTL else "5m"
            if self._alive(prefix):
                read = end_of_read = total
                to_write.clear()
                if control is not None:
                    self._keep(prefix, ttl)
            elif control is not None and total >= self._cache.minimum_tokens:
                to_write.append((prefix, total, ttl))
        written = {"5m": 0, "1h": 0}
        for prefix, end, ttl in to_write:
            written[ttl] += end - end_of_read
            end_of_read = end
            self._writers[prefix] += 1
            self._keep(prefix, ttl)
        return CachedTokens(read, written["5m"], written["1h"])

    def _alive(self, prefix: bytes) -> bool:
        if self._cache.lives_until(prefix) > self._now:
            return True
        return self._writers[prefix] >= self._cache.concurrent

    def _keep(self, prefix: bytes, ttl: str) -> None:
        self._written[prefix] = self._now + self._delay + _SECONDS_OF_TTL[ttl]


def _fixed(content: Any) -> bytes:
    """Return the content as bytes, without the mark that only says where a prefix ends."""
    return orjson.dumps(_unmarked(content), option=orjson.OPT_SORT_KEYS)


def _unmarked(content: Any) -> Any:
    if isinstance(content, tuple):
        return [_unmarked(each) for each in content]
    if isinstance(content, dict):
        return {key: value for key, value in content.items() if key != "cache_control"}
    return content
