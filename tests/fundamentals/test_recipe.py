"""A row of a file becomes a request, whichever of the forms it has."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchRequest, InvalidRequestError
from meshflow_prefect.bulk.recipe import Made, Recipe
from meshflow_prefect.errors import TemplateError
from meshflow_prefect.models import DEFAULT_MODEL

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TURNS = [{"role": "user", "content": "Hello."}]
READY: dict[str, Any] = {"model": "claude-opus-5", "max_tokens": 7, "messages": TURNS}


def params(made: Made) -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(made.params)
    return parsed


def of(request: BatchRequest) -> Any:
    return request.to_api_request()["params"]


@given(TEXTS, TEXTS)
def test_a_prompt_and_a_system_prompt_are_filled_as_a_request_would_be(text, tone):
    recipe = Recipe(prompt="Say: {text}", system="Be {tone}.", params={"top_k": 3})

    made = recipe.make({"text": text, "tone": tone})

    request = BatchRequest("x", f"Say: {text}", system=f"Be {tone}.", params={"top_k": 3})
    assert params(made) == of(request)
    assert (made.row_id, made.custom_id) == (None, None)
    assert (made.model, made.max_tokens) == (DEFAULT_MODEL, 1024)


@given(TEXTS)
def test_a_system_prompt_without_columns_stands_as_it_is(text):
    recipe = Recipe(prompt="{text}!", system="Braces: {{}}.", model="claude-opus-5", max_tokens=9)

    made = recipe.make({"text": text})

    request = BatchRequest("x", f"{text}!", "claude-opus-5", "Braces: {}.", 9)
    assert params(made) == of(request)
    assert (made.model, made.max_tokens) == ("claude-opus-5", 9)


def test_a_prompt_column_is_the_prompt():
    made = Recipe(system="Be {tone}.").make({"prompt": "Hello.", "tone": "brief", "more": 1})

    assert params(made) == of(BatchRequest("x", "Hello.", system="Be brief."))


@pytest.mark.parametrize("messages", [TURNS, orjson.dumps(TURNS).decode()])
def test_messages_are_whole_turns_in_json_or_as_a_text_of_it(messages):
    made = Recipe(system="Be brief.").make({"messages": messages})

    assert params(made) == of(BatchRequest("x", messages=TURNS, system="Be brief."))


@pytest.mark.parametrize("as_text", [False, True])
def test_a_rows_own_parameters_win_over_those_of_every_row(as_text):
    own = {"prompt": "Hello.", "model": "claude-opus-5", "max_tokens": 5, "top_k": 2, "system": "A"}
    given_params = orjson.dumps(own).decode() if as_text else own
    recipe = Recipe(system="B", max_tokens=99, params={"top_k": 1, "stop_sequences": ["."]})

    made = recipe.make({"params": given_params})

    more = {"top_k": 2, "stop_sequences": ["."]}
    assert params(made) == of(BatchRequest("x", "Hello.", "claude-opus-5", "A", 5, params=more))
    assert (made.model, made.max_tokens) == ("claude-opus-5", 5)


def test_messages_and_a_prompt_of_the_row_go_with_its_own_parameters():
    recipe = Recipe(params={"top_k": 1})

    turns = recipe.make({"messages": TURNS, "params": {"top_k": 2, "max_tokens": 5}})
    prompt = recipe.make({"prompt": "Hello.", "params": {"max_tokens": 5}})

    assert params(turns) == of(BatchRequest("x", messages=TURNS, max_tokens=5, params={"top_k": 2}))
    assert params(prompt) == of(BatchRequest("x", "Hello.", max_tokens=5, params={"top_k": 1}))


LONG = "A rule that is said at length. " * 1000


@pytest.mark.parametrize("row", [{"messages": TURNS}, {"prompt": "Hello."}, {"params": READY}])
def test_a_system_prompt_that_rows_share_is_cached_with_their_own_requests_too(row):
    made = Recipe(system=LONG, cache_system=True).make(row)

    (block,) = params(made)["system"]
    assert (block["text"], block["cache_control"]["type"]) == (LONG, "ephemeral")
    assert made.marks.cached


MARKED = {"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    "own",
    [
        {"system": LONG},
        {"tools": [{"name": "a", "input_schema": {}}]},
        {"output_config": {"effort": "low"}},
        {"messages": [{"role": "user", "content": [MARKED]}]},
    ],
)
def test_what_a_row_has_of_its_own_before_its_messages_is_not_cached(own):
    made = Recipe(system=LONG, cache_system=True).make({"params": {**READY, **own}})

    assert params(made)["system"] == LONG


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_column_of_json_is_none(empty):
    made = Recipe().make({"params": empty, "messages": empty, "prompt": "Hello."})

    assert params(made) == of(BatchRequest("x", "Hello."))


@pytest.mark.parametrize("as_text", [False, True])
def test_a_request_in_anthropics_format_passes_as_it_is(as_text):
    ready = {**READY, "top_k": 4, "system": [{"type": "text", "text": "Be brief."}]}
    row = {"custom_id": "my-id", "params": orjson.dumps(ready).decode() if as_text else ready}

    made = Recipe(system="Not this.", max_tokens=99, params={"top_k": 1}).make(row)

    assert params(made) == ready
    assert (made.row_id, made.custom_id) == ("my-id", "my-id")
    assert (made.model, made.max_tokens) == ("claude-opus-5", 7)


def test_with_a_prompt_such_columns_are_columns():
    made = Recipe(prompt="{custom_id}: {params}").make({"custom_id": "a", "params": "b"})

    assert params(made) == of(BatchRequest("x", "a: b"))
    assert made.custom_id is None


@pytest.mark.parametrize(
    ("column", "row", "named"),
    [
        (None, {"text": "x"}, None),
        (None, {"text": "x", "id": "a/b"}, "a/b"),
        (None, {"text": "x", "id": 7}, "7"),
        ("key", {"text": "x", "id": 7, "key": "k"}, "k"),
        ("", {"text": "x", "id": 1.5}, None),
    ],
)
def test_a_row_is_named_by_its_id(column, row, named):
    assert Recipe(prompt="{text}", id_column=column).make(row).row_id == named


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"id": None}, "column 'id': expected a text or a whole number as the row's id, got null"),
        ({"id": ""}, "got empty"),
        ({"id": 1.5}, "got float"),
        ({"id": True}, "got bool"),
        ({"id": ["a"]}, "got list"),
    ],
)
def test_an_id_that_is_none_is_told(row, why):
    with pytest.raises(InvalidRequestError, match=why):
        Recipe(prompt="{text}").make({"text": "x", **row})


def test_a_column_of_ids_that_is_missing_is_told():
    with pytest.raises(InvalidRequestError, match="column 'key' is missing"):
        Recipe(prompt="{text}", id_column="key").make({"text": "x", "id": 1})


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "column 'text' is missing"),
        ({"text": None}, "column 'text' is null"),
        ({"text": " \n"}, "the prompt is empty"),
    ],
)
def test_a_row_that_does_not_fill_the_prompt_is_told(row, why):
    with pytest.raises(InvalidRequestError, match=why):
        Recipe(prompt="{text}").make(row)


def test_a_missing_column_of_the_system_prompt_is_told_with_its_name():
    with pytest.raises(TemplateError, match="column 'tone' is missing") as told:
        Recipe(prompt="{text}", system="Be {tone}.").make({"text": "x"})
    assert told.value.column == "tone"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"text": "x"}, "no column 'messages', 'params' or 'prompt'"),
        ({"prompt": ""}, "prompt: must not be empty"),
        ({"prompt": 5}, "prompt: expected a text, got int"),
        ({"messages": "[1,"}, "column 'messages' is not JSON"),
        ({"messages": []}, "messages: expected a list of at least one turn"),
        ({"messages": {"role": "user"}}, "messages: expected a list"),
        ({"params": "{"}, "column 'params' is not JSON"),
        ({"params": [1]}, "column 'params' is not an object"),
        ({"params": {"prompt": "x", "stream": True}}, "params.stream: the Message Batches API"),
        ({"params": {"prompt": "x", "max_tokens": 0}}, "max_tokens: must be at least 1"),
        ({"params": {"prompt": "x", "messages": TURNS}}, "exactly one of `prompt` and `messages`"),
        ({"params": {"temperature": 1}}, "exactly one of `prompt` and `messages`"),
        ({"custom_id": "a b", "params": READY}, "custom_id 'a b': must be 1 to 64 characters"),
        ({"custom_id": 7, "params": READY}, "custom_id 7: must be"),
        ({"custom_id": "a", "params": None}, "'params' is not an object"),
        ({"custom_id": "a", "params": READY, "x": 1}, "no other columns, found 'x'"),
        ({"custom_id": "a", "params": {**READY, "stream": True}}, "params.stream"),
        ({"custom_id": "a", "params": {"model": "m"}}, "params.max_tokens: is missing"),
        ({"custom_id": "a", "params": {**READY, "messages": "x"}}, "messages: expected a list"),
    ],
)
def test_a_row_that_is_no_request_is_told_in_words_without_a_name_of_ours(row, why):
    with pytest.raises(InvalidRequestError) as told:
        Recipe().make(row)

    assert why in str(told.value)
    assert "Request 'row'" not in str(told.value)


@pytest.mark.parametrize("prompt", [None, "{text}"])
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": " "}, "model"),
        ({"params": {"stream": True}}, "params.stream"),
        ({"params": {"model": "x"}}, "params.model"),
        ({"params": {"metadata": object()}}, "cannot be written as JSON"),
        ({"system": "{a.b}"}, "The template, line 1"),
    ],
)
def test_what_is_wrong_whatever_the_row_is_refused_before_the_first(prompt, wrong, why):
    with pytest.raises(InvalidRequestError, match=why):
        Recipe(prompt=prompt, **wrong)


def test_the_columns_that_every_row_must_have_are_known_beforehand():
    recipe = Recipe(prompt="{a} {b} {a}", system="{c} {b}", id_column="key")

    assert recipe.columns == ("a", "b", "c", "key")
    assert Recipe().columns == ()


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"id": "mine"}, "mine"),
        ({"id": 7}, "7"),
        ({"id": None}, None),
        ({"id": ["a"]}, None),
        ({"id": True}, None),
        ({}, None),
        ({"custom_id": "a b", "params": None}, "a b"),
        ({"custom_id": "a"}, None),
    ],
)
def test_a_row_that_is_no_request_has_its_name_all_the_same(row, name):
    assert Recipe().name_of(row) == name
