"""What an emulator can be told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

ClockKind = Literal["real", "stepped"]
CountsKind = Literal["at_end", "moving"]

DEFAULT_KEY = "sk-ant-emulator"
REFUSED_KEY_PREFIX = "sk-ant-invalid"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DEFAULT_PORT = 8484


@dataclass(frozen=True, kw_only=True)
class EmulatorSettings:
    """How the emulator listens, how its time passes, and which switches it takes.

    The defaults behave as the documentation of the Message Batches API says. Where captures of
    the live API differ from the documentation, there is a switch.
    """

    host: str = "127.0.0.1"
    """The address to listen on. Only loopback is accepted: the emulator trusts every caller."""

    port: int = 0
    """The port to listen on; 0 takes a free one."""

    clock: ClockKind = "real"
    """`real` moves by itself, `stepped` moves only when told."""

    speed: float = 1.0
    """How many emulated seconds pass in one second of a real clock."""

    batch_seconds: float = 20.0
    """How long a batch takes, in emulated seconds."""

    cancel_seconds: float = 2.0
    """How long a batch stays `canceling`, in emulated seconds."""

    counts: CountsKind = "at_end"
    """Whether `request_counts` stay in `processing` until the end, or move one by one."""

    retry_after: int | None = 10
    """The `retry-after` header on a batch that is in progress; None leaves it out."""

    api_keys: tuple[str, ...] = ()
    """The only keys to accept. Empty: every key that does not begin with `sk-ant-invalid`."""

    workspaces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The workspace of a key. Keys that are not named here share the workspace `default`."""

    directory: Path | None = None
    """Where batches are kept. None: a temporary directory, removed at the end."""

    extra_models: tuple[str, ...] = ()
    """Models to know beyond those that Anthropic serves."""

    reply_words: int | None = None
    """The length of every reply, in words. None: between 20 and 60, by the prompt."""

    minimum_cached_tokens: int = 0
    """A prefix shorter than this is not cached. (The real limits, by model, are 1,024 to 4,096.)"""

    concurrent_requests: int = 1
    """How many requests of a batch run at once: so many write a prefix to the prompt cache that is
    not there yet, before the next one reads it. (At Anthropic it is not told how many.)"""

    maximum_requests: int = 100_000
    """The most requests in one batch."""

    maximum_bytes: int = 256 * 1024 * 1024
    """The largest body of a create call."""

    queue_limit: int | None = None
    """The most requests in unfinished batches, all workspaces together; None does not limit."""

    requests_per_minute: int | None = None
    """The most API calls in one emulated minute; None does not limit."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the field."""
        if self.host not in LOOPBACK:
            raise ValueError(
                f"host must be a loopback address, not {self.host!r}: the emulator accepts any "
                "key, so it must not be reachable from other machines"
            )
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be between 0 and 65535, not {self.port!r}")
        if self.clock not in ("real", "stepped"):
            raise ValueError(f"clock must be 'real' or 'stepped', not {self.clock!r}")
        if self.counts not in ("at_end", "moving"):
            raise ValueError(f"counts must be 'at_end' or 'moving', not {self.counts!r}")
        for name in ("speed", "batch_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, not {getattr(self, name)!r}")
        if self.concurrent_requests < 1:
            raise ValueError(
                f"concurrent_requests must be at least 1, not {self.concurrent_requests!r}"
            )
        if self.cancel_seconds < 0:
            raise ValueError(f"cancel_seconds must not be negative, not {self.cancel_seconds!r}")

    def accepts(self, key: str) -> bool:
        """Whether calls with this key are answered."""
        if self.api_keys:
            return key in self.api_keys
        return not key.startswith(REFUSED_KEY_PREFIX)

    def workspace_of(self, key: str) -> str:
        """Return the workspace whose batches this key sees."""
        return self.workspaces.get(key, "default")
