"""What an emulator can be told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Literal

ClockKind = Literal["real", "stepped"]
CountsKind = Literal["at_end", "moving"]

DEFAULT_KEY = "sk-ant-emulator"
REFUSED_KEY_PREFIX = "sk-ant-invalid"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DEFAULT_PORT = 8484

_WHOLE: Mapping[str, tuple[int, int | None]] = {
    "port": (0, 65_535),
    "retry_after": (0, None),
    "reply_words": (0, None),
    "minimum_cached_tokens": (0, None),
    "concurrent_requests": (1, None),
    "maximum_requests": (1, None),
    "maximum_bytes": (1, None),
    "queue_limit": (0, None),
    "requests_per_minute": (1, None),
}
"""The settings that are whole numbers, the least that each may be, and the most."""

_OPTIONAL = frozenset({"retry_after", "reply_words", "queue_limit", "requests_per_minute"})
"""Those of them that may be None."""


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
        if self.clock not in ("real", "stepped"):
            raise ValueError(f"clock must be 'real' or 'stepped', not {self.clock!r}")
        if self.counts not in ("at_end", "moving"):
            raise ValueError(f"counts must be 'at_end' or 'moving', not {self.counts!r}")
        for name, (least, most) in _WHOLE.items():
            self._check_whole(name, getattr(self, name), least, most)
        for name in ("speed", "batch_seconds", "cancel_seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                raise ValueError(f"{name} must be a number, not {value!r}")
            if not value > 0 and name != "cancel_seconds":
                raise ValueError(f"{name} must be greater than 0, not {value!r}")
        if self.cancel_seconds < 0:
            raise ValueError(f"cancel_seconds must not be negative, not {self.cancel_seconds!r}")
        for name in ("api_keys", "extra_models"):
            if isinstance(value := getattr(self, name), str) or not all(value):
                raise ValueError(f"{name} must be texts that are not empty, not {value!r}")
        if self.directory is not None:
            object.__setattr__(self, "directory", Path(self.directory))

    def _check_whole(self, name: str, value: int | None, least: int, most: int | None) -> None:
        if value is None and name in _OPTIONAL:
            return
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if value is None or not is_whole or value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"between {least} and {most}"
            raise ValueError(f"{name} must be {bounds}, not {value!r}")

    def accepts(self, key: str) -> bool:
        """Whether calls with this key are answered."""
        if self.api_keys:
            return key in self.api_keys
        return not key.startswith(REFUSED_KEY_PREFIX)

    def workspace_of(self, key: str) -> str:
        """Return the workspace whose batches this key sees."""
        return self.workspaces.get(key, "default")
