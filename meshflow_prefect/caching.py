"""A system prompt that many requests share, sent with the 1-hour prompt cache; what it saves. Pure.

Anthropic caches a prefix of the prompt: tools, system, messages, in this order, up to a block that
carries `cache_control`. Within a batch the cache is best effort: requests that run at the same time
may each write it. A request that was sent and answered before them makes them read it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, cast

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.models import BatchRequest, BatchResult
from meshflow_prefect.params import System
from meshflow_prefect.pricing import cost_of, without_cache

CACHE_CONTROL = {"type": "ephemeral", "ttl": "1h"}
"""A batch takes longer than the 5 minutes that a prefix is kept otherwise."""

WORTH_CACHING = 3
"""The fewest requests that gain by it: a 1-hour write costs twice the input, a read a tenth of it,
so that 2 requests with the cache cost 2.1 times the prefix, and 3 requests 2.2 times."""

SHORTEST_PREFIX = 512
"""In tokens, for models that are not in `_SHORTEST_PREFIX`. The API ignores a mark on a prompt that
is too short, free of charge, so it is better to take this too small than too large."""

# "Cache limitations", platform.claude.com/docs/en/build-with-claude/prompt-caching, autumn of 2026.
# It does not follow the generations.
_SHORTEST_PREFIX = {
    "claude-3-5-haiku": 2048,
    "claude-3-haiku": 2048,
    "claude-fable-5": 512,
    "claude-fable-5-1": 512,
    "claude-haiku-4-5": 4096,
    "claude-mythos-5": 512,
    "claude-mythos-5-1": 512,
    "claude-mythos-preview": 2048,
    "claude-opus-4": 1024,
    "claude-opus-4-1": 1024,
    "claude-opus-4-5": 4096,
    "claude-opus-4-6": 4096,
    "claude-opus-4-7": 2048,
    "claude-opus-4-8": 1024,
    "claude-opus-5": 512,
    "claude-opus-5-5": 512,
    "claude-sonnet-4": 1024,
    "claude-sonnet-4-5": 1024,
    "claude-sonnet-4-6": 1024,
    "claude-sonnet-5": 1024,
    "claude-sonnet-5-5": 512,
}
_SNAPSHOT = re.compile(r"-(\d{8}|latest|0)$")
_BYTES_PER_TOKEN = 3
"""English has 3 to 4 bytes a token, by the model; a text that is counted too long is marked in
vain, which costs nothing."""


@dataclass(frozen=True)
class CacheSaving:
    """What the prompt cache has saved over some results."""

    read_tokens: int
    """Input tokens that were read from the cache."""
    written_tokens: int
    """Input tokens that were written to it, which costs more than plain input."""
    saved_usd: float | None
    """US$ at the batch price that these tokens would have cost more without a cache; negative where
    writing cost more than reading has saved. None where the price of a model is not known."""

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values."""
        return asdict(self)


def shortest_prefix(model: str) -> int:
    """Return how many tokens a prompt of `model` needs to be cached."""
    return _SHORTEST_PREFIX.get(_SNAPSHOT.sub("", model), SHORTEST_PREFIX)


def with_cached_system(requests: Sequence[BatchRequest]) -> list[BatchRequest]:
    """Return the requests, in their order, with the system prompts that they share marked.

    Marked is the last block of a system prompt which, with the tools before it, is long enough for
    the model, and which at least `WORTH_CACHING` requests have. Requests that mark something to be
    cached themselves are left as they are. The same requests give the same marks.
    """
    prefixes = [_prefix(request) for request in requests]
    sharing = Counter(prefixes)
    return [
        _marked(request) if sharing[prefix] >= WORTH_CACHING and _is_plain(request) else request
        for request, prefix in zip(requests, prefixes, strict=True)
    ]


def first_of_each_prefix(requests: Iterable[BatchRequest]) -> list[int]:
    """Return the position of the first request with each marked system prompt, in their order.

    Sent and answered before the others, they make the others read the cache, and cost no request
    more: their replies are replies like any other.
    """
    first: dict[Hashable, int] = {}
    for position, request in enumerate(requests):
        if any("cache_control" in block for block in _blocks(request.system)):
            first.setdefault(_prefix(request), position)
    return list(first.values())


def cache_saving(results: Iterable[BatchResult]) -> CacheSaving:
    """Return what the cache has saved over all billed attempts of these results."""
    read = written = 0
    savings: list[Decimal | None] = []
    for result in results:
        for usage in result.billed_usage:
            plain = without_cache(usage)
            tokens = int(plain["input_tokens"]) - int(usage.get("input_tokens") or 0)
            if tokens:
                from_cache = int(usage.get("cache_read_input_tokens") or 0)
                read, written = read + from_cache, written + tokens - from_cache
                savings.append(_difference(result.model or "", plain, usage))
    known = [saving for saving in savings if saving is not None]
    total = sum(known, Decimal(0)) if len(known) == len(savings) else None
    return CacheSaving(read, written, None if total is None else float(total))


def _difference(model: str, plain: Mapping[str, Any], cached: Mapping[str, Any]) -> Decimal | None:
    cost, paid = cost_of(model, plain), cost_of(model, cached)
    return None if cost is None or paid is None else cost - paid


def _prefix(request: BatchRequest) -> Hashable:
    """Return what has to be equal for a system prompt to be read from the cache."""
    system = request.system if isinstance(request.system, str) else _json(request.system)
    # Tools stand before the system prompt; another output format makes another prompt.
    others = [request.params.get(name) for name in ("tools", "output_config")]
    return request.model, system, _json(others) if any(others) else b""


def _is_plain(request: BatchRequest) -> bool:
    """Whether a request has a system prompt that is long enough, and no mark of its own."""
    blocks = _blocks(request.system)
    tools: Any = request.params.get("tools") or ()
    if not blocks or request.params.get("cache_control"):
        return False
    if any("cache_control" in block for block in (*blocks, *tools)):
        return False
    text = "".join(str(block.get("text", "")) for block in blocks)
    size = len(text.encode()) + (len(_json(tools)) if tools else 0)
    return size // _BYTES_PER_TOKEN >= shortest_prefix(request.model)


def _marked(request: BatchRequest) -> BatchRequest:
    *others, last = _blocks(request.system)
    system = [*others, {**last, "cache_control": CACHE_CONTROL}]
    return replace(request, system=cast("System", system))


def _blocks(system: System) -> list[Mapping[str, Any]]:
    if isinstance(system, str):
        return [{"type": "text", "text": system}] if system else []
    return [cast("Mapping[str, Any]", block) for block in system]


def _json(value: Any) -> bytes:
    return exact_json.dumps(value, option=orjson.OPT_SORT_KEYS)
