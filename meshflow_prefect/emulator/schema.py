"""A JSON value that satisfies a JSON schema, written with the words of a prompt."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from meshflow_prefect.emulator.patterns import text_matching

_SHALLOW = 4  # down to here optional properties are filled in and lists are not left empty
_DEEPEST = 40
_MOST_VALUES = 20_000
_WORDS_PER_TEXT = 4

_FORMATS = {
    "date-time": "2026-01-15T09:30:00Z",
    "date": "2026-01-15",
    "time": "09:30:00Z",
    "duration": "PT1H30M",
    "email": "reader@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/page",
    "ipv4": "192.0.2.10",
    "ipv6": "2001:db8::1",
    "uuid": "6f1c2a7e-3b4d-4c5e-8f90-0123456789ab",
}
# The simplest first: where a schema refers to itself, the way out is one of these.
_SIMPLICITY = ("const", "enum", "null", "boolean", "integer", "number", "string", "array", "object")


class UnsatisfiableSchemaError(ValueError):
    """No value was found for a schema."""


def value_for(schema: dict[str, Any], words: list[str]) -> Any:
    """Return a value that satisfies `schema`; its texts are made of `words`."""
    try:
        return _Sampler(schema, words or ["answer"]).value(schema, depth=0)
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError) as problem:
        # A schema is a stranger's data: a keyword of the wrong type is its fault, not ours.
        raise UnsatisfiableSchemaError(f"the schema is not valid: {problem}") from problem


class _Sampler:
    def __init__(self, root: dict[str, Any], words: list[str]) -> None:
        self._root = root
        self._words = itertools.cycle(words)
        self._values = 0

    def value(self, schema: Any, *, depth: int) -> Any:
        self._values += 1
        if depth > _DEEPEST or self._values > _MOST_VALUES:
            raise UnsatisfiableSchemaError("the schema is too deep, or refers to itself forever")
        if schema is True:
            return self._text(3)
        if not isinstance(schema, dict):
            raise UnsatisfiableSchemaError(f"nothing satisfies {schema!r}")
        schema = self._flat(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._first_of_enum(schema)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._one_of(schema, schema[several], several, depth=depth)
        kind = _kind_of(schema)
        makers: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, depth=depth),
            "array": lambda: self._array(schema, depth=depth),
            "string": lambda: self._string(schema),
            "integer": lambda: _integer(schema),
            "number": lambda: _number(schema),
            "boolean": lambda: True,
            "null": lambda: None,
        }
        if kind not in makers:
            raise UnsatisfiableSchemaError(f"unknown type {kind!r}")
        return makers[kind]()

    def _flat(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema with its references and its `allOf` written into it."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                target = self._resolve(schema["$ref"])
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(target, rest)
            elif "allOf" in schema:
                merged = {key: value for key, value in schema.items() if key != "allOf"}
                for each in schema["allOf"]:
                    merged = _merged(merged, self._flat_branch(each))
                schema = merged
            else:
                return schema
        raise UnsatisfiableSchemaError("a reference leads to itself")

    def _flat_branch(self, branch: Any) -> dict[str, Any]:
        """Return one part of an `allOf` or `anyOf`, which may also be `true` or `false`."""
        if isinstance(branch, dict):
            return self._flat(branch)
        if branch is True:
            return {}
        raise UnsatisfiableSchemaError(f"nothing satisfies {branch!r}")

    def _resolve(self, reference: str) -> dict[str, Any]:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise UnsatisfiableSchemaError(f"{reference} does not exist")
        return found

    def _first_of_enum(self, schema: dict[str, Any]) -> Any:
        if not schema["enum"]:
            raise UnsatisfiableSchemaError("an enum is empty")
        return schema["enum"][0]

    def _one_of(
        self, schema: dict[str, Any], branches: list[Any], keyword: str, *, depth: int
    ) -> Any:
        rest = {key: value for key, value in schema.items() if key != keyword}
        ordered = branches if depth < _SHALLOW else sorted(branches, key=self._simplicity)
        for branch in ordered:
            try:
                return self.value(_merged(rest, self._flat_branch(branch)), depth=depth + 1)
            except UnsatisfiableSchemaError:
                continue
        raise UnsatisfiableSchemaError(f"no branch of {keyword} can be satisfied")

    def _simplicity(self, branch: Any) -> int:
        flat = self._flat(branch) if isinstance(branch, dict) else {}
        for keyword in ("const", "enum"):
            if keyword in flat:
                return _SIMPLICITY.index(keyword)
        return _SIMPLICITY.index(_kind_of(flat)) if flat else len(_SIMPLICITY)

    def _object(self, schema: dict[str, Any], *, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = list(schema.get("required") or ())
        made: dict[str, Any] = {}
        for name, each in properties.items():
            if name in required:
                made[name] = self.value(each, depth=depth + 1)
            elif depth < _SHALLOW:
                try:
                    made[name] = self.value(each, depth=depth + 1)
                except UnsatisfiableSchemaError:
                    continue  # an optional property may be left out
        extra = schema.get("additionalProperties", True)
        fewest = schema.get("minProperties", 0)
        missing: Iterator[str] = itertools.chain(
            (name for name in required if name not in made),
            (f"{next(self._words)}_{n}" for n in range(max(0, fewest - len(made)))),
        )
        for name in list(missing):
            made[name] = self.value(extra, depth=depth + 1)
        return made

    def _array(self, schema: dict[str, Any], *, depth: int) -> list[Any]:
        heads = schema.get("prefixItems") or []
        each = schema.get("items", True)
        fewest = schema.get("minItems", 0)
        most = schema.get("maxItems", math.inf)
        wanted = max(fewest, len(heads) if depth < _SHALLOW else 0)
        if depth < _SHALLOW and each is not False and not heads:
            wanted = max(wanted, 2)
        wanted = int(min(wanted, most))
        made: list[Any] = []
        for at in range(wanted):
            try:
                made.append(self.value(heads[at] if at < len(heads) else each, depth=depth + 1))
            except UnsatisfiableSchemaError:
                if at < fewest:
                    raise
                break
        if schema.get("uniqueItems"):
            made = self._distinct(made, each, fewest)
        return made

    def _distinct(self, made: list[Any], each: Any, fewest: int) -> list[Any]:
        flat = self._flat(each) if isinstance(each, dict) else {}
        choices = list(flat.get("enum") or ())
        if not choices and _kind_of(flat) in ("integer", "number") and made:
            step = flat.get("multipleOf", 1)
            choices = [made[0] + n * step for n in range(len(made))]
        unique: list[Any] = []
        for item in choices[: len(made)] if choices else made:
            if item not in unique:
                unique.append(item)
        if len(unique) < fewest:
            raise UnsatisfiableSchemaError("not enough distinct items")
        return unique

    def _string(self, schema: dict[str, Any]) -> str:
        if "pattern" in schema:
            text = text_matching(schema["pattern"])
            if text is None:
                raise UnsatisfiableSchemaError(f"no text for the pattern {schema['pattern']!r}")
            return text
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = self._text(_WORDS_PER_TEXT)
        while len(text) < schema.get("minLength", 0):
            text += " " + next(self._words)
        most = schema.get("maxLength")
        return text if most is None else text[:most]

    def _text(self, words: int) -> str:
        return " ".join(next(self._words) for _ in range(words))


def _kind_of(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(bound in schema for bound in ("minimum", "maximum", "multipleOf")):
        return "number"
    return "string"


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both schemas at once, as far as schemas that people write need it."""
    merged = {**first, **second}
    if "properties" in first and "properties" in second:
        merged["properties"] = {**first["properties"], **second["properties"]}
    if "required" in first and "required" in second:
        merged["required"] = [*first["required"], *second["required"]]
    return merged


def _bounds(schema: dict[str, Any]) -> tuple[float, float, float]:
    """Return the smallest and the largest value, and the step that leads past an excluded bound."""
    step = schema.get("multipleOf") or 1
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return low, high, step


def _integer(schema: dict[str, Any]) -> int:
    low, high, step = _bounds(schema)
    if "exclusiveMinimum" in schema:
        low = max(low, math.floor(schema["exclusiveMinimum"]) + 1)
    if "exclusiveMaximum" in schema:
        high = min(high, math.ceil(schema["exclusiveMaximum"]) - 1)
    start = low if low > -math.inf else min(1, high)
    value = math.ceil(start / step) * step if low > -math.inf else math.floor(start / step) * step
    if not low <= value <= high:
        raise UnsatisfiableSchemaError("no integer lies within the bounds")
    return int(value)


def _number(schema: dict[str, Any]) -> float:
    low, high, step = _bounds(schema)
    above, below = (
        schema.get("exclusiveMinimum", -math.inf),
        schema.get("exclusiveMaximum", math.inf),
    )
    if "multipleOf" in schema:
        start = max(low, above) if max(low, above) > -math.inf else min(step, high)
        value = math.ceil(start / step) * step
        if value <= above:
            value += step
    else:
        bottom, top = max(low, above), min(high, below)
        if bottom > -math.inf and top < math.inf:
            value = (bottom + top) / 2
        elif bottom > -math.inf:
            value = bottom + 0.5
        else:
            value = min(0.5, top - 0.5)
    if not (low <= value <= high and above < value < below):
        raise UnsatisfiableSchemaError("no number lies within the bounds")
    return value
