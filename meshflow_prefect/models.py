"""The values that everything else hands around: a request, its result, and the batch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn, Self, TypeAlias, cast

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.params import (
    OWN_FIELDS,
    REFUSED_IN_A_BATCH,
    MessageParams,
    Messages,
    System,
)

DEFAULT_MODEL = "claude-haiku-4-5-20251001"

RESULTS_KEPT = timedelta(days=29)
"""After a batch was created; then Anthropic removes its results."""

INVALID_OUTPUT = "invalid_output"
"""The `error_type` of a row whose reply is not of the output type that was asked for."""

CUSTOM_ID_PATTERN = re.compile(r"[a-zA-Z0-9_-]{1,64}")

ResultStatus: TypeAlias = Literal["succeeded", "errored", "expired", "canceled", "missing"]
JobStatus: TypeAlias = Literal["in_progress", "canceling", "ended", "canceled"]


@dataclass(frozen=True)
class BatchRequest:
    """One prompt with its parameters.

    Raises `InvalidRequestError`, naming the field and the rule, when it is made. What the API
    checks only later (an unknown model, say) comes back as an errored `BatchResult`.
    """

    custom_id: str
    """Names the request in its batch: 1 to 64 letters, digits, `_` and `-`; unique in the batch."""
    prompt: str | None = None
    """The text of a single user turn. Give this or `messages`, not both."""
    model: str = DEFAULT_MODEL
    system: System = ""
    """The system prompt: a text, or text blocks where one carries `cache_control`."""
    max_tokens: int = 1024
    """The most tokens that the reply may have; at least 1."""
    messages: Messages | None = field(default=None, kw_only=True)
    """Whole turns: several of them, images, PDF files, tool results."""
    params: MessageParams = field(default_factory=lambda: cast("MessageParams", {}), kw_only=True)
    """Any other Messages parameter: tools, thinking, output_config, stop_sequences, …"""

    def __post_init__(self) -> None:
        """Check every rule that can be checked without asking the API."""
        self._check_custom_id()
        self._check_prompt()
        self._check_system()
        if not isinstance(self.model, str) or not self.model.strip():
            self._refuse("model", f"expected the name of a model, got {self.model!r}")
        if not isinstance(self.max_tokens, int) or isinstance(self.max_tokens, bool):
            self._refuse("max_tokens", f"expected a whole number, got {self.max_tokens!r}")
        if self.max_tokens < 1:
            self._refuse("max_tokens", f"must be at least 1, got {self.max_tokens}")
        if not isinstance(self.params, Mapping):
            self._refuse("params", f"expected a mapping, got {type(self.params).__name__}")
        if refused := sorted(REFUSED_IN_A_BATCH & self.params.keys()):
            self._refuse(f"params.{refused[0]}", "the Message Batches API does not accept it")
        if doubled := sorted(OWN_FIELDS & self.params.keys()):
            self._refuse(f"params.{doubled[0]}", f"set the field {doubled[0]!r} of the request")
        for name, value in self.params.items():
            if isinstance(value, float) and not math.isfinite(value):
                # It would be sent as null, which is another request.
                self._refuse(f"params.{name}", f"JSON has no number {value}")

    def to_api_request(self) -> dict[str, Any]:
        """Return what goes into the `requests` list of a create call."""
        turns: list[Any] = list(self.messages or [{"role": "user", "content": self.prompt or ""}])
        params: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "messages": turns,
        }
        if self.system:
            params["system"] = self.system
        return {"custom_id": self.custom_id, "params": params | dict(self.params)}

    def _check_custom_id(self) -> None:
        if not isinstance(self.custom_id, str) or not CUSTOM_ID_PATTERN.fullmatch(self.custom_id):
            self._refuse(
                "custom_id", "must be 1 to 64 characters out of a-z, A-Z, 0-9, '_' and '-'"
            )

    def _check_prompt(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            given = "neither" if self.prompt is None else "both"
            self._refuse("prompt", f"give exactly one of `prompt` and `messages`, got {given}")
        if self.messages is not None:
            if not is_list(self.messages) or not (turns := list(self.messages)):
                self._refuse("messages", "expected a list of at least one turn")
            # An iterator would be empty at the second reading: keep what was read.
            object.__setattr__(self, "messages", turns)
        elif not isinstance(self.prompt, str):
            self._refuse("prompt", f"expected a text, got {type(self.prompt).__name__}")
        elif not self.prompt.strip():
            self._refuse("prompt", "must not be empty")

    def _check_system(self) -> None:
        if isinstance(self.system, str):
            return
        if not is_list(self.system):
            got = type(self.system).__name__
            self._refuse("system", f"expected a text or a list of text blocks, got {got}")
        object.__setattr__(self, "system", list(self.system))

    def _refuse(self, name: str, rule: str) -> NoReturn:
        raise InvalidRequestError(
            f"Request {self.custom_id!r}: {name}: {rule}.", custom_id=self.custom_id, field=name
        )


def is_list(value: object) -> bool:
    """Whether a value is a list, or anything else that yields items, and no text or mapping."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


@dataclass(frozen=True)
class BatchResult:
    """What became of one request. Every request ends as exactly one of these."""

    custom_id: str
    status: ResultStatus
    """`missing`: the batch has ended, and its results hold no row for the request that can be
    read."""
    output: str = ""
    """The reply's text blocks, joined; empty where there is no reply."""
    tokens: int = 0
    """Input and output tokens together, cache writes and reads included, of all attempts."""
    cost_usd: float | None = 0.0
    """US$ at the batch price, of all attempts. None where the price of the model, or what became of
    the request, is not known. An attempt without a reply is not billed: 0."""
    error: str | None = None
    """What went wrong, in words; None when the request succeeded."""
    error_type: str | None = None
    """The API's kind of error, such as `not_found_error`, or the status when there is none. Of a
    missing row also `unreadable_row` or `results_expired`; of a reply that is not of the output
    type `invalid_output`."""
    stop_reason: str | None = None
    """Why the reply ended: `end_turn`, `max_tokens` (cut), `refusal`, `tool_use`, …"""
    model: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    """The API's usage object of the last attempt, as it came."""
    message: Mapping[str, Any] | None = None
    """The API's whole Message, as it came; None where there is no reply."""
    attempts: int = 1
    """In how many batches the request was sent."""
    parsed: Any = None
    """The reply as the output type, when one was asked for: an instance of the model, or the value
    that a JSON Schema describes."""
    earlier_usage: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """The usage objects of earlier attempts that were billed, the first first."""

    @classmethod
    def of_reply(cls, *, usage: Mapping[str, Any], **fields: Any) -> Self:
        """Return what the constructor does, of every field that is not as its default says.

        It is for millions of rows: a frozen dataclass sets its fields one by one, in more time than
        all else that is done with a row takes.
        """
        made = cls.__new__(cls)
        values = vars(made)
        values |= _DEFAULTS
        values |= fields
        values["usage"], values["earlier_usage"] = usage, []
        return made

    @property
    def succeeded(self) -> bool:
        """Whether there is a reply. A refusal is a reply: see `refused`."""
        return self.status == "succeeded"

    @property
    def refused(self) -> bool:
        """Whether the model declined to answer (`stop_reason` is `refusal`)."""
        return self.stop_reason == "refusal"

    @property
    def truncated(self) -> bool:
        """Whether the reply was cut at `max_tokens` or at the end of the context window."""
        return self.stop_reason in ("max_tokens", "model_context_window_exceeded")

    @property
    def billed_usage(self) -> list[Mapping[str, Any]]:
        """The usage objects of every attempt that was billed."""
        return [*self.earlier_usage, *([self.usage] if self.usage else [])]

    def to_dict(self) -> dict[str, Any]:
        """Return every field, and the three yes-or-no properties, as JSON values.

        `usage` and `message` are not copied.
        """
        values = {
            **vars(self),
            "succeeded": self.succeeded,
            "refused": self.refused,
            "truncated": self.truncated,
        }
        if self.parsed is not None:
            from pydantic import BaseModel

            if isinstance(self.parsed, BaseModel):
                values["parsed"] = self.parsed.model_dump(mode="json")
        return values


_DEFAULTS = dict(vars(BatchResult("", "succeeded")))
"""Every field, in their order."""

RESULT_COLUMNS = (
    *(each.name for each in fields(BatchResult)),
    "succeeded",
    "refused",
    "truncated",
)
"""What `BatchResult.to_dict` has, and the output of a file job."""


@dataclass(frozen=True)
class Collected:
    """What reading the results of a batch has brought."""

    results: list[BatchResult]
    """Exactly one for each custom id, in their order; without custom ids, the rows as they came."""
    unreadable: int = 0
    """How many lines stayed unreadable, however often they were read."""
    unknown_ids: tuple[str, ...] = ()
    """The requests of rows that were not asked for, and are left out."""
    absent: int = 0
    """How many of the batch's requests have no row that could be read."""

    @property
    def is_whole(self) -> bool:
        """Whether every request of the batch had a row, so that reading again is of no use."""
        return not self.unreadable and not self.absent


REQUEST_KINDS = ("processing", "succeeded", "errored", "canceled", "expired")
"""What the API counts the requests of a batch by."""


@dataclass(frozen=True)
class BatchJob:
    """A batch at Anthropic, as it was when it was asked for."""

    batch_id: str
    status: JobStatus
    """`canceled` is the API's `ended`, where a cancellation took effect on at least one request."""
    request_counts: Mapping[str, int]
    """How many requests are `processing`, `succeeded`, `errored`, `canceled` and `expired`."""
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    cancel_initiated_at: datetime | None = None
    archived_at: datetime | None = None
    """When the results were removed; see `RESULTS_KEPT`."""

    @property
    def is_complete(self) -> bool:
        """Whether Anthropic is done with the batch, so that its results can be read."""
        return self.status in ("ended", "canceled")

    @property
    def total(self) -> int:
        """Number of requests in the batch."""
        return sum(self.request_counts.get(kind, 0) for kind in REQUEST_KINDS)

    def may_hold(self, requests: int) -> bool:
        """Whether it may be a batch of so many requests.

        A gateway may count nothing before the end, and after it what was processing before.
        """
        ended = self.total - self.request_counts.get("processing", 0)
        return self.total in (0, requests) or (self.is_complete and ended == requests)

    def to_dict(self) -> dict[str, Any]:
        """Return every field, and `is_complete`, as JSON values (times as ISO 8601)."""
        values = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }
        return values | {"is_complete": self.is_complete}
