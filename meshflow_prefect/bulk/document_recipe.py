"""How a document becomes a request: its content first, then what to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from meshflow_prefect.bulk.making import Made, dumped, request_of
from meshflow_prefect.bulk.plan import Marks
from meshflow_prefect.caching import WORTH_CACHING, with_cached_system
from meshflow_prefect.documents.rows import BLOCKS, ID
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.structured import OutputType

_BLOCKS = "\0blocks\0"
"""Stands for the blocks of a document, in the serialised parameters."""


@dataclass(kw_only=True)
class DocumentRecipe:
    """What is asked of each document, the same of all: only the blocks differ.

    Raises `InvalidRequestError` for parameters that are wrong whatever the document.
    """

    instruction: str
    """What to do with the document. A text, not a template."""
    system: str = ""
    model: str
    max_tokens: int
    params: Mapping[str, Any] = field(default_factory=dict)
    """Other Messages parameters of every request."""
    output: OutputType | None = None
    """What each reply has to be."""
    cache_system: bool = False
    """Whether the system prompt is marked to be cached."""

    columns = ()
    """Every row of `DocumentRows` has what it takes."""

    def __post_init__(self) -> None:
        """Check and serialise what is the same for every document."""
        if not self.instruction.strip():
            raise InvalidRequestError("instruction: say what is to be done with each document.")
        turn: list[Any] = [_BLOCKS, {"type": "text", "text": self.instruction}]
        request = request_of(
            model=self.model,
            max_tokens=self.max_tokens,
            system=self.system,
            messages=[{"role": "user", "content": turn}],
            params=self.params,
        )
        request = request if self.output is None else self.output.ask(request)
        if self.cache_system:
            # As many as it takes for it to be worth it: how many there are shows later.
            request, *_ = with_cached_system([request] * WORTH_CACHING)
        whole = dumped(request.to_api_request()["params"])
        self._head, self._tail = whole.split(orjson.dumps(_BLOCKS))
        self._marks = Marks.of(whole)

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what is made of a document, as JSON values."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return given | {"output": None if self.output is None else self.output.full_schema}

    def make(self, values: Mapping[str, Any]) -> Made:
        """Return the request of a document."""
        blocks = dumped(values[BLOCKS])[1:-1]
        params = self._head + blocks + self._tail
        return Made(str(values[ID]), None, params, self.model, self.max_tokens, self._marks)

    def name_of(self, values: Mapping[str, Any]) -> str:
        """Return what a document is called in the output: its relative path."""
        return str(values[ID])
