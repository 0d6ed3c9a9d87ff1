"""A reply is asked for as a type, and is an instance of it or a failed row that says why not."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from enum import Enum
from typing import Any, Literal

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from meshflow_prefect import BatchRequest, BatchResult, InvalidRequestError
from meshflow_prefect.structured import OutputType


class Currency(Enum):
    EUR = "EUR"
    USD = "USD"


class Line(BaseModel):
    text: str
    amount: float = Field(ge=0)


class Card(BaseModel):
    by: Literal["card"]
    digits: str


class Cash(BaseModel):
    by: Literal["cash"]


class Invoice(BaseModel):
    number: str
    issued: date
    currency: Currency
    lines: list[Line]
    paid: Card | Cash | None = Field(default=None, discriminator="by")
    note: str | None = None


PAINTED = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "coats": {"type": "integer", "minimum": 1}},
    "required": ["colour"],
}
THIS = f"{__name__}:Invoice"

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
INVOICES = st.builds(
    Invoice,
    number=TEXT,
    issued=st.dates(),
    currency=st.sampled_from(Currency),
    lines=st.lists(
        st.builds(Line, text=TEXT, amount=st.floats(0, 1e9, allow_nan=False)), max_size=4
    ),
    paid=st.one_of(
        st.none(), st.builds(Cash, by=st.just("cash")), st.builds(Card, by=st.just("card"))
    ),
    note=st.none() | TEXT,
)


def reply(output: str, **fields: Any) -> BatchResult:
    fields = {"stop_reason": "end_turn", "tokens": 7, "cost_usd": 0.25} | fields
    return BatchResult("a", "succeeded", output, **fields)


@given(INVOICES)
def test_a_reply_of_the_model_is_an_instance_of_it(invoice):
    result = OutputType.of(Invoice).parse(reply(invoice.model_dump_json()))

    assert result.succeeded
    assert result.parsed == invoice
    assert type(result.parsed) is Invoice


@given(INVOICES)
def test_a_result_with_an_instance_survives_pickling_and_is_written_as_json(invoice):
    result = OutputType.of(Invoice).parse(reply(invoice.model_dump_json()))

    for module in (pickle, cloudpickle):
        assert module.loads(module.dumps(result)) == result
    written = json.loads(json.dumps(result.to_dict()))
    assert Invoice.model_validate(written["parsed"]) == invoice


@given(TEXT, st.sampled_from([Invoice, PAINTED]))
def test_whatever_the_reply_there_is_a_value_or_a_reason_and_the_cost_is_kept(text, wanted):
    result = OutputType.of(wanted).parse(reply(text))

    assert (result.output, result.tokens, result.cost_usd) == (text, 7, 0.25)
    assert result.succeeded == (result.parsed is not None)
    assert result.succeeded or (result.status, result.error_type) == ("errored", "invalid_output")


GOOD = '{"number": "1", "issued": "2026-01-31", "currency": "EUR", "lines": []}'


@pytest.mark.parametrize(
    ("wanted", "output", "said"),
    [
        (Invoice, "", "invalid_output: Invalid JSON: EOF while parsing"),
        (Invoice, "Here it is: {}", "invalid_output: Invalid JSON: expected value at line 1"),
        (Invoice, GOOD + GOOD, "invalid_output: Invalid JSON: trailing characters"),
        (Invoice, "[]", "invalid_output: Input should be an object"),
        (Invoice, "{}", "invalid_output: number: Field required (and 3 more)"),
        (Invoice, GOOD.replace("EUR", "DM"), "currency: Input should be 'EUR' or 'USD'"),
        (Invoice, GOOD.replace("01-31", "02-31"), "issued: Input should be a valid date"),
        (
            Invoice,
            GOOD.replace("[]", '[{"text": "a", "amount": 1}, {"text": "b", "amount": -1}]'),
            "lines.1.amount: Input should be greater than or equal to 0",
        ),
        (PAINTED, '{"colour": "red"', "invalid_output: unexpected end of data"),
        (PAINTED, '{"colour": "green"}', "invalid_output: colour: 'green' is not one of ['red'"),
        (PAINTED, '{"colour": "red", "coats": 0}', "coats: 0 is less than the minimum of 1"),
        (PAINTED, '{"coats": 1}', "invalid_output: 'colour' is a required property"),
        (PAINTED, '{"colour": NaN}', "invalid_output: unexpected character"),
        (PAINTED, json.dumps("x" * 999), "xxx…"),
    ],
)
def test_a_reply_of_another_kind_is_a_failed_row_that_names_the_field(wanted, output, said):
    result = OutputType.of(wanted).parse(reply(output))

    assert said in result.error
    assert len(result.error) < 400
    assert (result.status, result.error_type) == ("errored", "invalid_output")
    assert (result.output, result.parsed) == (output, None)


def test_a_refusal_is_not_of_the_type_whatever_it_says():
    result = OutputType.of(Invoice).parse(reply(GOOD, stop_reason="refusal"))

    assert result.error == "invalid_output: the model refused to answer"
    assert result.refused


def test_a_reply_that_was_cut_says_so_unless_it_is_whole_all_the_same():
    wanted = OutputType.of(Invoice)

    cut = wanted.parse(reply(GOOD[:-9], stop_reason="max_tokens"))

    assert "the reply was cut (max_tokens): Invalid JSON" in cut.error
    assert wanted.parse(reply(GOOD, stop_reason="max_tokens")).succeeded


def test_a_reply_that_calls_a_tool_says_so():
    result = OutputType.of(Invoice).parse(reply("", stop_reason="tool_use"))
    assert "the reply ended with tool_use: Invalid JSON" in result.error


@pytest.mark.parametrize("status", ["errored", "expired", "canceled", "missing"])
def test_a_row_without_a_reply_stays_as_it_is(status):
    row = BatchResult("a", status, error="No.", error_type="api_error")
    assert OutputType.of(Invoice).parse(row) is row


def test_a_value_of_a_json_schema_is_plain_json():
    result = OutputType.of(PAINTED).parse(reply('{"colour": "red", "coats": 2}'))
    assert result.parsed == {"colour": "red", "coats": 2}


def test_a_list_can_be_asked_for_as_a_root_model():
    numbers = RootModel[list[int]]
    assert OutputType.of(numbers).parse(reply("[1, 2]")).parsed.root == [1, 2]


def test_whole_numbers_keep_all_their_digits():
    for wanted in ({"type": "integer"}, RootModel[int]):
        parsed = OutputType.of(wanted).parse(reply(str(2**70))).parsed
        value = parsed.root if isinstance(parsed, RootModel) else parsed
        assert (type(value), value) == (int, 2**70)


def test_a_model_or_a_schema_can_be_given_by_its_import_path():
    assert OutputType.of(THIS) == OutputType.of(Invoice)
    assert OutputType.of(f"{__name__}:PAINTED") == OutputType.of(PAINTED)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (7, "expected a Pydantic model, a JSON Schema as a mapping, or an import path"),
        (int, "expected a Pydantic model"),
        ("Invoice", "expected an import path 'package.module:Name', got 'Invoice'"),
        ("no.such.module:Invoice", "cannot be imported where this runs: No module named 'no'"),
        (f"{__name__}:Nothing", "has no attribute 'Nothing'"),
        (f"{__name__}:json", "expected a Pydantic model"),
        ({"type": "objekt"}, "type: 'objekt' is not valid under any"),
        ({"type": "object", "properties": {"a": {"type": 1}}}, "properties.a.type: 1 is not valid"),
        ({"type": "object", "properties": {"a": {}}}, "a: says nothing of the type"),
        ({"type": "object", "properties": {"a": True}}, "a: says nothing of the type"),
        ({"type": "array", "items": {"type": "object"}}, "items: an object with any keys"),
        ({"anyOf": [{"type": "null"}, {}]}, "anyOf.1: says nothing of the type"),
        ({"$ref": "https://example.com/schema"}, "the reference 'https://example.com/schema' must"),
        ({"$ref": "#/$defs/b", "$defs": {"a": {"type": "null"}}}, "the reference '#/$defs/b' must"),
        ({"type": "object", "default": {1, 2}}, "is not JSON"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_its_place(wanted, said):
    with pytest.raises(InvalidRequestError, match=r"^output_type: ") as caught:
        OutputType.of(wanted)
    assert said in str(caught.value)


def test_a_model_with_free_keys_or_any_value_is_refused_by_its_place():
    class Free(BaseModel):
        lines: list[dict[str, int]]

    class Anything(BaseModel):
        value: Any

    class Called(BaseModel):
        value: Callable[[], int]

    for model, said in ((Free, "lines.items: an object with any keys"), (Anything, "value: says")):
        with pytest.raises(InvalidRequestError, match=said):
            OutputType.of(model)
    with pytest.raises(InvalidRequestError, match="Called has no JSON Schema"):
        OutputType.of(Called)


def schema_of(request: BatchRequest) -> dict:
    return request.to_api_request()["params"]["output_config"]["format"]["schema"]


def test_the_schema_that_is_sent_is_closed_and_holds_no_rule_that_the_api_does_not_know():
    sent = OutputType.of(PAINTED).ask(BatchRequest("a", "Paint."))

    assert schema_of(sent) == {
        "type": "object",
        "properties": {
            "colour": {"enum": ["red", "blue"]},
            "coats": {"type": "integer", "description": "{minimum: 1}"},
        },
        "required": ["colour"],
        "additionalProperties": False,
    }


def test_a_type_that_is_one_of_several_is_sent_as_a_union_each_with_its_own_rules():
    wanted = {"type": ["string", "integer", "null"], "minimum": 2, "maxLength": 5, "title": "T"}
    assert OutputType.of(wanted).schema == {
        "title": "T",
        "anyOf": [
            {"type": "string", "description": "{maxLength: 5}"},
            {"type": "integer", "description": "{minimum: 2}"},
            {"type": "null"},
        ],
    }


def test_other_output_settings_and_parameters_of_the_request_are_kept():
    request = BatchRequest(
        "a", "Paint.", params={"output_config": {"effort": "low"}, "metadata": {"user_id": "u"}}
    )

    params = OutputType.of(PAINTED).ask(request).to_api_request()["params"]

    assert params["output_config"]["effort"] == "low"
    assert params["metadata"] == {"user_id": "u"}
    assert request.params["output_config"] == {"effort": "low"}


def test_a_request_with_a_format_of_its_own_is_refused():
    wanted = OutputType.of(PAINTED)
    with pytest.raises(InvalidRequestError, match=r"'a': params\.output_config\.format: give"):
        wanted.ask(OutputType.of(Invoice).ask(BatchRequest("a", "Paint.")))
    asked = wanted.ask(BatchRequest("a", "Paint."))
    assert wanted.ask(asked) == asked


def test_parsing_twice_is_parsing_once():
    wanted = OutputType.of(Invoice)
    for row in (reply(GOOD), reply("no"), replace(reply(GOOD), stop_reason="refusal")):
        assert wanted.parse(wanted.parse(row)) == wanted.parse(row)
