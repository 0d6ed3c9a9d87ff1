"""A document and an instruction make one request, whatever is in the document."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchRequest, InvalidRequestError
from meshflow_prefect.bulk.document_recipe import DocumentRecipe
from meshflow_prefect.documents import Document
from meshflow_prefect.structured import OutputType

SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number"}},
    "required": ["total"],
    "additionalProperties": False,
}
BLOCK = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}


def recipe(**given: Any) -> DocumentRecipe:
    return DocumentRecipe(
        **{"instruction": "Say it.", "model": "claude-opus-5", "max_tokens": 50} | given
    )


def params(how: DocumentRecipe, *blocks: Any) -> dict[str, Any]:
    made = how.make({"id": "a.txt", "blocks": list(blocks)})
    assert (made.row_id, made.custom_id) == ("a.txt", None)
    return orjson.loads(made.params)


@given(
    st.lists(st.text(max_size=50), min_size=1, max_size=3),
    st.text(min_size=1, max_size=50).filter(lambda text: text.strip()),
    st.text(max_size=50),
)
def test_the_request_is_what_a_request_of_the_same_content_is(texts, instruction, system):
    blocks = [{**BLOCK, "title": text} for text in texts]
    document = Document("a.txt", "a.txt", "text", 1, blocks)

    found = params(recipe(instruction=instruction, system=system), *blocks)

    turns: list[Any] = [{"role": "user", "content": document.content(instruction)}]
    same = BatchRequest("a", None, "claude-opus-5", system, 50, messages=turns)
    assert found == same.to_api_request()["params"]


def test_braces_are_braces_in_the_instruction_and_in_the_system_prompt():
    found = params(recipe(instruction='Answer as {"total": 1}.', system="{x}"), BLOCK)
    assert found["messages"][0]["content"][-1]["text"] == 'Answer as {"total": 1}.'
    assert found["system"] == "{x}"


def test_an_output_type_and_other_parameters_are_asked_for():
    found = params(recipe(output=OutputType.of(SCHEMA), params={"stop_sequences": ["."]}), BLOCK)
    assert found["output_config"]["format"]["type"] == "json_schema"
    assert found["stop_sequences"] == ["."]


def test_a_long_system_prompt_is_cached_when_that_is_wanted():
    long = "Read with care. " * 500
    assert params(recipe(system=long), BLOCK)["system"] == long
    (block,) = params(recipe(system=long, cache_system=True), BLOCK)["system"]
    assert block["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"instruction": " \n"}, "instruction: say what is to be done"),
        ({"max_tokens": 0}, "max_tokens: must be at least 1"),
        ({"params": {"stream": True}}, "params.stream"),
        ({"params": {"stop_sequences": {1}}}, "cannot be written as JSON"),
    ],
)
def test_what_is_wrong_whatever_the_document_is_told_at_once(given, why):
    with pytest.raises(InvalidRequestError, match=why):
        recipe(**given)


def test_whatever_is_asked_differently_changes_the_settings():
    same = recipe().settings
    for other in (
        {"instruction": "Other."},
        {"system": "x"},
        {"model": "claude-sonnet-5"},
        {"max_tokens": 51},
        {"params": {"top_k": 1}},
        {"output": OutputType.of(SCHEMA)},
        {"cache_system": True},
    ):
        assert recipe(**other).settings != same, other
    assert recipe().settings == same
    assert orjson.dumps(recipe(output=OutputType.of(SCHEMA)).settings)
