"""What the replies of a job have to be: asked for with a JSON Schema, and checked. Pure."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError

from meshflow_prefect import exact_json
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.models import INVALID_OUTPUT, BatchRequest, BatchResult
from meshflow_prefect.params import MessageParams
from meshflow_prefect.schemas import checked_schema, sendable

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

OutputTypeLike: TypeAlias = type[BaseModel] | Mapping[str, Any] | str
"""A Pydantic model, a JSON Schema, or where to import one of them from: `package.module:Name`."""

_LONGEST_REASON = 300


@dataclass(frozen=True)
class OutputType:
    """What every reply of a job has to be. Made with `OutputType.of`."""

    schema: Mapping[str, Any]
    """The JSON Schema that is sent. What the API does not enforce, such as a minimum, stands in the
    descriptions, for the model to read."""
    full_schema: Mapping[str, Any]
    """The JSON Schema as it was given, or as the model has it."""
    model: type[BaseModel] | None = None
    """What `parsed` is an instance of; None: a JSON value."""

    @classmethod
    def of(cls, wanted: OutputTypeLike) -> OutputType:
        """Return the type that a Pydantic model, a JSON Schema or an import path stands for.

        Raises `InvalidRequestError`, naming the place in the schema, for a schema that is not
        valid or cannot be asked for: one with free keys, without types, or with definitions
        elsewhere; and for a path where there is nothing of the kind.
        """
        found = _imported(wanted) if isinstance(wanted, str) else wanted
        if isinstance(found, type) and issubclass(found, BaseModel):
            try:
                schema = found.model_json_schema()
            except PydanticUserError as error:
                _refuse(f"{found.__qualname__} has no JSON Schema: {error.message}")
            return cls(sendable(schema), schema, found)
        if not isinstance(found, Mapping):
            _refuse(
                "expected a Pydantic model, a JSON Schema as a mapping, or an import path "
                f"'package.module:Name' of one, got {wanted!r}"
            )
        schema = checked_schema(found)
        return cls(sendable(schema), schema)

    def ask(self, request: BatchRequest) -> BatchRequest:
        """Return the request with `output_config.format`; its other output settings are kept.

        A request that asks for this type already stays as it is. Raises `InvalidRequestError` where
        one asks for another format.
        """
        config = dict(request.params.get("output_config") or {})
        wanted = {"type": "json_schema", "schema": dict(self.schema)}
        if config.get("format", wanted) != wanted:
            raise InvalidRequestError(
                f"Request {request.custom_id!r}: params.output_config.format: give this or an "
                "output type, not both.",
                custom_id=request.custom_id,
                field="params.output_config.format",
            )
        config["format"] = wanted
        params = dict(request.params) | {"output_config": config}
        return replace(request, params=cast("MessageParams", params))

    def parse(self, result: BatchResult) -> BatchResult:
        """Return the result with `parsed`, or as a failed one where its reply is not of this type.

        Such a row is `errored` with the type `invalid_output`, and `error` names the field. It
        keeps its output and its cost: the reply was billed. So is a refusal. Rows without a reply
        are returned as they are.
        """
        if not result.succeeded:
            return result
        if result.refused:
            return _invalid(result, "the model refused to answer")
        try:
            return replace(result, parsed=self._value(result.output))
        except ValueError as error:
            reason = str(error)
        if result.truncated:
            reason = f"the reply was cut ({result.stop_reason}): {reason}"
        elif result.stop_reason not in (None, "end_turn", "stop_sequence"):
            reason = f"the reply ended with {result.stop_reason}: {reason}"
        return _invalid(result, reason)

    def _value(self, text: str) -> Any:
        """Return the reply as a value; raise `ValueError` with the reason in words."""
        if self.model is None:
            return self._checked(exact_json.loads(text))
        try:
            return self.model.model_validate_json(text)
        except ValidationError as error:
            first, *others = error.errors(
                include_url=False, include_input=False, include_context=False
            )
            raise ValueError(_reason(first["loc"], first["msg"], len(others))) from None

    def _checked(self, value: Any) -> Any:
        from jsonschema.exceptions import best_match

        errors = list(self._validator.iter_errors(value))
        if (worst := best_match(errors)) is None:
            return value
        raise ValueError(_reason(worst.absolute_path, worst.message, len(errors) - 1))

    @cached_property
    def _validator(self) -> Validator:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for

        kind = validator_for(self.full_schema, default=Draft202012Validator)
        return kind(self.full_schema, format_checker=kind.FORMAT_CHECKER)


def _invalid(result: BatchResult, reason: str) -> BatchResult:
    return replace(
        result,
        status="errored",
        error=f"{INVALID_OUTPUT}: {reason}",
        error_type=INVALID_OUTPUT,
        parsed=None,
    )


def _reason(path: Any, message: str, others: int) -> str:
    place = ".".join(str(step) for step in path)
    if len(message) > _LONGEST_REASON:
        message = f"{message[:_LONGEST_REASON]}…"
    more = f" (and {others} more)" if others else ""
    return f"{place}: {message}{more}" if place else f"{message}{more}"


def _imported(path: str) -> Any:
    if ":" not in path:
        _refuse(f"expected an import path 'package.module:Name', got {path!r}")
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        _refuse(f"{path!r} cannot be imported where this runs: {error}")


def _refuse(rule: str) -> NoReturn:
    raise InvalidRequestError(f"output_type: {rule}.", field="output_type")
