"""Values for schemas: they satisfy whatever a schema asks for, or say that nothing does."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshflow_prefect.emulator.patterns import text_matching
from meshflow_prefect.emulator.schema import UnsatisfiableSchemaError, value_for

_WORDS = ["harbour", "lighthouse", "tide"]
_TREE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "left": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["name", "left", "children"],
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"const": {"a": [1]}},
        {"enum": ["x", "y"]},
        {"type": ["null", "string"]},
        {"type": "null"},
        {"type": "boolean"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 5, "maxItems": 6},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "maxItems": 0},
        {"type": "array", "prefixItems": [{"type": "string"}, {"const": 4}], "items": False},
        {"type": "string", "minLength": 40},
        {"type": "string", "maxLength": 3},
        {"type": "string", "pattern": r"^\d{4}-[A-Z]{2,3}(x|y)?$"},
        {"type": "integer", "minimum": 7, "multipleOf": 5},
        {"type": "integer", "exclusiveMinimum": 7, "maximum": 8},
        {"type": "integer", "maximum": -3},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "number", "minimum": 0.3, "maximum": 0.3},
        {"type": "number", "multipleOf": 0.5, "exclusiveMinimum": 1},
        {"type": "number", "exclusiveMaximum": -4},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
        {"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}},
        {"anyOf": [False, {"type": "integer", "minimum": 3, "maximum": 1}, {"const": 1}]},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"const": 2}}, "required": ["b"]},
            ],
            "type": "object",
        },
        {
            "type": "object",
            "properties": {"kind": {"const": "x"}},
            "required": ["kind"],
            "anyOf": [{"properties": {"n": {"type": "integer"}}, "required": ["n"]}],
        },
        _TREE,
        {
            "type": "object",
            "properties": {"next": {"$ref": "#"}, "value": {"type": "integer"}},
            "required": ["value"],
        },
        {"type": "array", "items": {"$ref": "#"}},
    ],
)
def test_a_value_satisfies_its_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(value_for(schema, _WORDS))


@pytest.mark.parametrize(
    "kind",
    ["date-time", "date", "time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "duration"],
)
def test_a_text_has_its_format(kind: str) -> None:
    schema = {"type": "string", "format": kind}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(
        value_for(schema, _WORDS)
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"anyOf": [{"$ref": "#"}] * 9},
        {"enum": []},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "wisdom"},
        {"type": "string", "minLength": "many"},
        {"type": "object", "properties": 5},
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UnsatisfiableSchemaError):
        value_for(schema, _WORDS)


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]+$",
        r"^\+?\d{1,3}[ -]\d+$",
        "^(foo|bar)-[0-9a-f]{8}$",
        "^[^x-z]*end$",
        r"^(?P<year>\d{4})(?:-\d\d)?$",
        r"^\w+@\w+\.(com|org)$",
        r"^[\w.-]{3,}$",
        "",
        "a|b",
        r"^\S+\.pdf$",
        "^.{5}$",
        "^[A-Za-z]??b+?$",
    ],
)
def test_a_text_matches_its_pattern(pattern: str) -> None:
    text = text_matching(pattern)
    assert text is not None
    assert re.search(pattern, text)


def test_a_pattern_that_is_out_of_reach_gives_nothing() -> None:
    assert text_matching("^(?=.*b)a*c$") is None
    assert text_matching("(") is None


_SCALARS = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "boolean"}),
    st.builds(
        lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
        st.integers(-100, 100),
        st.integers(0, 50),
    ),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers(), min_size=1)),
)


def _around(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from("abcdef")
    return st.one_of(
        st.builds(
            lambda each, n: {"type": "array", "items": each, "minItems": n},
            inner,
            st.integers(0, 4),
        ),
        st.builds(
            lambda each, required: {
                "type": "object",
                "properties": each,
                "required": sorted(required & each.keys()),
                "additionalProperties": False,
            },
            st.dictionaries(names, inner, max_size=4),
            st.sets(names),
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
    )


@settings(max_examples=150, deadline=None)
@given(st.recursive(_SCALARS, _around, max_leaves=12))
def test_nested_schemas_are_satisfied_too(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(value_for(schema, _WORDS))
