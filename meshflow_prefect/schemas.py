"""JSON Schemas as the API takes them for structured output: checked before anything is sent. Pure.

Structured output closes every object, and knows types, enums, references and formats; the SDK moves
what it does not know into the descriptions. What would be lost on that way is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from meshflow_prefect import exact_json
from meshflow_prefect.errors import InvalidRequestError

_UNIONS = ("anyOf", "oneOf", "allOf")


def checked_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a JSON Schema; raise `InvalidRequestError` where it is not a valid one."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        copy: dict[str, Any] = exact_json.loads(exact_json.dumps(dict(schema)))
    except TypeError as error:
        _refuse("", f"is not JSON: {error}")
    try:
        validator_for(copy, default=Draft202012Validator).check_schema(copy)
    except SchemaError as error:
        _refuse(".".join(str(step) for step in error.absolute_path), error.message)
    known = {f"#/$defs/{name}" for name in copy.get("$defs") or {}}
    for reference in _references(copy):
        # Anything else would be looked up on the network, or fail when the replies are checked.
        if reference not in known:
            _refuse("", f"the reference {reference!r} must lead to an entry of '#/$defs/'")
    return copy


def sendable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a valid JSON Schema in the form that the API accepts.

    Raises `InvalidRequestError`, naming the place, where the API cannot be asked for such a value.
    """
    from anthropic import transform_schema

    return transform_schema(_prepared(schema, ""))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _prepared(schema: Any, at: str) -> dict[str, Any]:
    """Return a part of a schema with what the SDK's transformation does not read written out."""
    if not isinstance(schema, Mapping):
        _refuse(at, "says nothing of the type")
    made = dict(schema)
    for name, each in dict(made.get("$defs") or {}).items():
        made["$defs"] = {**made["$defs"], name: _prepared(each, f"$defs.{name}")}
    if "$ref" in made:
        return made
    if isinstance(made.get("type"), list):
        kinds = made.pop("type")
        shared = {key: made.pop(key) for key in ("title", "description") if key in made}
        made = shared | {"anyOf": [{**_own(made, kind), "type": kind} for kind in kinds]}
    for union in _UNIONS:
        if union in made:
            parts = enumerate(made[union])
            made[union] = [_prepared(each, f"{at}.{union}.{n}") for n, each in parts]
            return made
    if "type" not in made and "enum" not in made and "const" not in made:
        _refuse(at, "says nothing of the type")
    if made.get("type") == "object":
        if "properties" not in made and made.get("additionalProperties") is not False:
            _refuse(at, "an object with any keys cannot be asked for; take a list of key and value")
        made["properties"] = {
            name: _prepared(each, f"{at}.{name}")
            for name, each in (made.get("properties") or {}).items()
        }
    if made.get("type") == "array" and "items" in made:
        made["items"] = _prepared(made["items"], f"{at}.items")
    return made


_KEYWORDS = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("format", "pattern", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _own(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the keywords that say something of one type, out of a schema of several."""
    wanted = _KEYWORDS.get("number" if kind == "integer" else kind, ())
    return {key: value for key, value in schema.items() if key in wanted}


def _refuse(at: str, rule: str) -> NoReturn:
    place = f"{at.removeprefix('.')}: " if at else ""
    raise InvalidRequestError(f"output_type: {place}{rule}.", field="output_type")
