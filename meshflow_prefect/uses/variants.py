"""What is asked of every case: a prompt with columns, a system prompt, a model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, TypeAlias, cast

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.models import DEFAULT_MODEL, BatchRequest
from meshflow_prefect.params import MessageParams
from meshflow_prefect.templates import Template

_ANY = "any"
"""What a request is called that is made to see whether it can be."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to ask. Raises `InvalidRequestError` for templates or parameters that are wrong."""

    prompt: str = "{prompt}"
    """A template such as `Summarise: {text}`, filled from the columns of each case."""
    system: str = ""
    """The system prompt, a template too."""
    model: str = DEFAULT_MODEL
    max_tokens: int = 1024
    """The most tokens that each reply may have."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Other Messages parameters, such as tools or thinking."""

    def __post_init__(self) -> None:
        """Check what is the same for every case."""
        for name in ("prompt", "system"):
            if not isinstance(text := getattr(self, name), str):
                raise InvalidRequestError(f"{name}: expected a text, got {type(text).__name__}.")
        _ = self._templates
        try:
            self._asking("any", self.system)
        except InvalidRequestError as error:
            # No case is asked yet: what is wrong is wrong for all of them.
            said = error.message.removeprefix(f"Request {_ANY!r}: ")
            raise InvalidRequestError(said, **error.details) from None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every case must have, in the order of their first use."""
        prompt, system = self._templates
        return tuple(dict.fromkeys((*prompt.columns, *system.columns)))

    def question(self, values: Mapping[str, Any]) -> str:
        """Return the prompt of a case."""
        return self._templates[0].render(values)

    def request(self, custom_id: str, values: Mapping[str, Any]) -> BatchRequest:
        """Return the request of a case.

        Raises `InvalidRequestError`, with what is wrong in words, where its columns are missing or
        null, or make an empty prompt.
        """
        text = self.question(values)
        if not text.strip():
            raise InvalidRequestError("the prompt is empty")
        return self._asking(text, self._templates[1].render(values), custom_id)

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values."""
        return asdict(self)

    @cached_property
    def _templates(self) -> tuple[Template, Template]:
        return Template(self.prompt), Template(self.system)

    def _asking(self, prompt: str, system: str, custom_id: str = _ANY) -> BatchRequest:
        params = cast("MessageParams", self.params)
        return BatchRequest(custom_id, prompt, self.model, system, self.max_tokens, params=params)


VariantLike: TypeAlias = Variant | str | Mapping[str, Any]
"""A variant, the template of its prompt, or its fields by name (which a deployment can store)."""


def variant_of(given: VariantLike, **defaults: Any) -> Variant:
    """Return the variant that is meant; `defaults` are for the fields that are not given.

    Raises `InvalidRequestError` for a field that variants do not have.
    """
    if isinstance(given, Variant):
        return given
    if isinstance(given, str):
        return Variant(**defaults | {"prompt": given})
    if not isinstance(given, Mapping):
        raise InvalidRequestError(
            f"expected a Variant, a prompt or a mapping of fields, got {type(given).__name__}."
        )
    names = [each.name for each in fields(Variant)]
    if unknown := [name for name in given if name not in names]:
        raise InvalidRequestError(
            f"{unknown[0]!r} is not a field of a variant, which has: {', '.join(names)}."
        )
    return Variant(**defaults | dict(given))
