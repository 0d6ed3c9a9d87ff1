"""How a row of the source becomes a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.bulk.making import Made, dumped, request_of
from meshflow_prefect.bulk.plan import Marks
from meshflow_prefect.caching import WORTH_CACHING, with_cached_system
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.models import CUSTOM_ID_PATTERN, DEFAULT_MODEL, BatchRequest
from meshflow_prefect.params import OWN_FIELDS
from meshflow_prefect.structured import OutputType
from meshflow_prefect.templates import Template

_PROMPT, _SYSTEM = "\0prompt\0", "\0system\0"
"""Stand for what a row fills in, in the serialised parameters."""

_IN_PREFIX = {"tools", "output_config"}
"""Parameters that precede the system prompt where it is cached: of a row's own, none is shared."""

_READY_MADE = {"custom_id", "params"}

Render: TypeAlias = Callable[[Mapping[str, Any]], bytes]


@dataclass(kw_only=True)
class Recipe:
    """What is asked of each row.

    A row that holds `custom_id` and `params` is a request already, in Anthropic's own format, and
    passes as it is. Else the prompt's columns are filled in; without a prompt, the row's own
    `messages`, `params` or `prompt` are the request. Raises `InvalidRequestError` for a template
    or parameters that are wrong whatever the row.
    """

    prompt: str | None = None
    """A template, such as `Summarise: {text}`."""
    system: str = ""
    """A template too."""
    model: str = DEFAULT_MODEL
    max_tokens: int = 1024
    params: Mapping[str, Any] = field(default_factory=dict)
    """Other Messages parameters of every request."""
    id_column: str | None = None
    """Names the rows. None: `id` where a row has one, else the row's number; empty: the number."""
    output: OutputType | None = None
    """What each reply has to be; requests that are ready-made ask for it themselves."""
    cache_system: bool = False
    """Whether a system prompt that is the same for all rows is marked to be cached."""

    _system: Template = field(init=False, repr=False)
    _id_column: str = field(init=False, repr=False)
    _from_prompt: Render | None = field(init=False, repr=False)
    _marks: Marks = field(init=False, repr=False, default=Marks(cached=False, in_us=False))
    """Of every request that is made from the prompt."""

    def __post_init__(self) -> None:
        """Check what is the same for every row."""
        self._system = Template(self.system)
        self._id_column = "id" if self.id_column is None else self.id_column
        self._from_prompt = self._spliced()

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what is made of a row, as JSON values."""
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return given | {"output": None if self.output is None else self.output.full_schema}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every row must have, as far as they are known before it is read."""
        prompt = () if self.prompt is None else Template(self.prompt).columns
        named = (self.id_column,) if self.id_column else ()
        return tuple(dict.fromkeys((*prompt, *self._system.columns, *named)))

    def make(self, values: Mapping[str, Any]) -> Made:
        """Return the request of a row.

        Raises `InvalidRequestError` (`TemplateError` for a column) with what is wrong in words.
        """
        if self.prompt is None and values.keys() >= _READY_MADE:
            return self._ready_made(values)
        row_id = self._row_id(values)
        if self._from_prompt is not None:
            params = self._from_prompt(values)
            return Made(row_id, None, params, self.model, self.max_tokens, self._marks)
        request = self._own_request(values)
        params = dumped(request.to_api_request()["params"])
        return Made(row_id, None, params, request.model, request.max_tokens, Marks.of(params))

    def name_of(self, values: Mapping[str, Any]) -> str | None:
        """Return what a row is called in the output, also one that is no request; None: number."""
        is_ready_made = self.prompt is None and values.keys() >= _READY_MADE
        column = "custom_id" if is_ready_made else self._id_column
        found = values.get(column) if column else None
        return str(found) if _is_id(found) else None

    def _own_request(self, values: Mapping[str, Any]) -> BatchRequest:
        params, messages = _json(values, "params"), _json(values, "messages")
        given = {} if params is None else params
        if not isinstance(given, Mapping):
            raise InvalidRequestError("column 'params' is not an object")
        if messages is not None and "messages" in given:
            raise InvalidRequestError("'messages' are in a column and in 'params' as well")
        if messages is not None:
            return self._checked({**given, "messages": messages}, values)
        if values.get("prompt") is not None and not given.keys() & {"messages", "prompt"}:
            return self._checked({**given, "prompt": values["prompt"]}, values)
        if given:
            return self._checked({**given}, values)
        raise InvalidRequestError(
            "no prompt is given, and the row has no column 'messages', 'params' or 'prompt'"
        )

    def _checked(self, given: dict[str, Any], values: Mapping[str, Any]) -> BatchRequest:
        """Return the request of a row's own parameters, over those of the recipe."""
        own = {name: given.pop(name) for name in OWN_FIELDS | {"prompt"} if name in given}
        is_shared = not (self._system.columns or "system" in own or given.keys() & _IN_PREFIX)
        own.setdefault("system", self._system.render(values))
        request = self._asked(**own, params={**self.params, **given})
        if not (self.cache_system and is_shared) or b'"cache_control"' in dumped(request.messages):
            return request
        return _cached(request)

    def _asked(self, **fields: Any) -> BatchRequest:
        """Return a request with what the recipe says of all."""
        request = request_of(**{"model": self.model, "max_tokens": self.max_tokens} | fields)
        return request if self.output is None else self.output.ask(request)

    def _ready_made(self, values: Mapping[str, Any]) -> Made:
        if others := sorted(values.keys() - _READY_MADE):
            raise InvalidRequestError(
                f"a row with 'custom_id' and 'params' is a request and has no other columns, "
                f"found {others[0]!r}"
            )
        custom_id, params = values["custom_id"], _json(values, "params")
        if not isinstance(custom_id, str) or not CUSTOM_ID_PATTERN.fullmatch(custom_id):
            raise InvalidRequestError(
                f"custom_id {custom_id!r}: must be 1 to 64 characters out of a-z, A-Z, 0-9, '_' "
                "and '-'"
            )
        if not isinstance(params, Mapping):
            raise InvalidRequestError("'params' is not an object")
        for name in ("model", "max_tokens", "messages"):
            if name not in params:
                raise InvalidRequestError(f"params.{name}: is missing")
        own = {name: params[name] for name in OWN_FIELDS if name in params}
        rest = {name: value for name, value in params.items() if name not in OWN_FIELDS}
        request = request_of(**own, params=rest)
        sent = dumped(params)
        return Made(custom_id, custom_id, sent, request.model, request.max_tokens, Marks.of(sent))

    def _row_id(self, values: Mapping[str, Any]) -> str | None:
        column = self._id_column
        if not column:
            return None
        if column not in values:
            if self.id_column is None:
                return None
            raise InvalidRequestError(f"column {column!r} is missing")
        found = values[column]
        if not _is_id(found):
            kind = "null" if found is None else "empty" if found == "" else type(found).__name__
            raise InvalidRequestError(
                f"column {column!r}: expected a text or a whole number as the row's id, got "
                f"{kind}; id_column (--id-column) names another column, or none: ''"
            )
        return str(found)

    def _spliced(self) -> Render | None:
        """Return what fills a prompt into parameters that are checked and serialised once."""
        if self.prompt is None:
            any_row = self._asked(prompt="any", params=self.params)
            dumped(any_row.to_api_request())
            return None
        prompt, system = Template(self.prompt), Template(self.system)
        request = self._asked(
            prompt=_PROMPT,
            # A system prompt without columns stands where it belongs at once.
            system=_SYSTEM if system.columns else system.render({}),
            params=self.params,
        )
        if self.cache_system and not system.columns:
            request = _cached(request)
        whole = dumped(request.to_api_request()["params"])
        self._marks = Marks.of(whole)
        head, rest = whole.split(orjson.dumps(_PROMPT))
        middle, *tail = rest.split(orjson.dumps(_SYSTEM))

        def render(values: Mapping[str, Any]) -> bytes:
            text = prompt.render(values)
            if not text.strip():
                raise InvalidRequestError("the prompt is empty")
            params = head + dumped(text) + middle
            return params + dumped(system.render(values)) + tail[0] if tail else params

        return render


def _cached(request: BatchRequest) -> BatchRequest:
    """Return a request with its system prompt marked to be cached, where that is long enough."""
    # As many as it takes for it to be worth it: how many rows there are shows later.
    return with_cached_system([request] * WORTH_CACHING)[0]


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return value != ""
    return isinstance(value, int) and not isinstance(value, bool)


def _json(values: Mapping[str, Any], column: str) -> Any:
    """Return a column that holds JSON, as CSV files have it too; None where there is none."""
    value = values.get(column)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return exact_json.loads(value)
    except ValueError as error:
        raise InvalidRequestError(f"column {column!r} is not JSON: {error}") from None
