"""A request is checked when it is made, and becomes exactly what the API expects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchRequest, InvalidRequestError

TURN = {"role": "user", "content": "Hello."}
REFUSED = [
    "cache_hint",
    "context_hint",
    "fallbacks",
    "previous_thread_event_id",
    "speed",
    "store",
    "stream",
]


def test_a_prompt_becomes_one_user_turn_and_no_system_prompt():
    assert BatchRequest("a", "Hello.").to_api_request() == {
        "custom_id": "a",
        "params": {
            "model": "claude-haiku-4-5-20251001",
            "max_tokens": 1024,
            "messages": [TURN],
        },
    }


def test_the_fields_may_be_given_by_position():
    request = BatchRequest("id", "prompt", "model", "system", 10)

    assert request.to_api_request() == {
        "custom_id": "id",
        "params": {
            "model": "model",
            "max_tokens": 10,
            "messages": [{"role": "user", "content": "prompt"}],
            "system": "system",
        },
    }


def test_messages_and_params_are_sent_as_they_are():
    turns = [TURN, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye."}]
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    request = BatchRequest(
        "a", messages=turns, system=system, params={"stop_sequences": ["."], "top_k": 3}
    )

    assert request.to_api_request()["params"] == {
        "model": "claude-haiku-4-5-20251001",
        "max_tokens": 1024,
        "messages": turns,
        "system": system,
        "stop_sequences": ["."],
        "top_k": 3,
    }


def test_iterators_are_read_once_and_kept():
    block = {"type": "text", "text": "Be brief."}
    request = BatchRequest("a", messages=iter([TURN]), system=iter([block]))

    for _ in range(2):
        params = request.to_api_request()["params"]
        assert (params["messages"], params["system"]) == ([TURN], [block])


def test_an_iterator_of_no_system_blocks_is_no_system_prompt():
    assert "system" not in BatchRequest("a", "x", system=iter([])).to_api_request()["params"]


@pytest.mark.parametrize("custom_id", ["", "a b", "a.b", "ä", "a\n", "a" * 65, 7, None])
def test_a_bad_custom_id_is_refused(custom_id):
    with pytest.raises(InvalidRequestError, match="custom_id: must be 1 to 64 characters") as e:
        BatchRequest(custom_id, "Hello.")
    assert e.value.field == "custom_id"


@given(st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True))
def test_every_id_that_the_api_takes_is_accepted(custom_id):
    assert BatchRequest(custom_id, "Hello.").to_api_request()["custom_id"] == custom_id


@pytest.mark.parametrize(
    ("fields", "named", "rule"),
    [
        ({}, "prompt", "exactly one of `prompt` and `messages`, got neither"),
        ({"prompt": "x", "messages": [TURN]}, "prompt", "`messages`, got both"),
        ({"prompt": ""}, "prompt", "must not be empty"),
        ({"prompt": " \n"}, "prompt", "must not be empty"),
        ({"prompt": 7}, "prompt", "expected a text, got int"),
        ({"messages": []}, "messages", "at least one turn"),
        ({"messages": iter(())}, "messages", "at least one turn"),
        ({"messages": "Hello."}, "messages", "at least one turn"),
        ({"messages": TURN}, "messages", "at least one turn"),
        ({"messages": 7}, "messages", "at least one turn"),
        ({"prompt": "x", "model": ""}, "model", "expected the name of a model, got ''"),
        ({"prompt": "x", "model": None}, "model", "expected the name of a model, got None"),
        ({"prompt": "x", "system": 7}, "system", "a text or a list of text blocks, got int"),
        ({"prompt": "x", "system": {}}, "system", "a text or a list of text blocks, got dict"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens", "must be at least 1, got 0"),
        ({"prompt": "x", "max_tokens": -5}, "max_tokens", "must be at least 1, got -5"),
        ({"prompt": "x", "max_tokens": 1.5}, "max_tokens", "a whole number, got 1.5"),
        ({"prompt": "x", "max_tokens": True}, "max_tokens", "a whole number, got True"),
        ({"prompt": "x", "params": ["top_k"]}, "params", "expected a mapping, got list"),
        (
            {"prompt": "x", "params": {"temperature": float("nan")}},
            "params.temperature",
            "JSON has no number nan",
        ),
    ],
)
def test_a_broken_rule_names_the_request_the_field_and_the_rule(fields, named, rule):
    with pytest.raises(InvalidRequestError) as refused:
        BatchRequest("row-7", **fields)

    assert str(refused.value).startswith(f"Request 'row-7': {named}: ")
    assert rule in str(refused.value)
    assert (refused.value.custom_id, refused.value.field) == ("row-7", named)


@pytest.mark.parametrize("name", REFUSED)
def test_a_parameter_that_batches_refuse_is_refused_at_once(name):
    with pytest.raises(InvalidRequestError, match=rf"params\.{name}: .*does not accept it"):
        BatchRequest("a", "Hello.", params={name: None})


@pytest.mark.parametrize("name", ["max_tokens", "messages", "model", "system"])
def test_a_field_may_not_stand_in_params_as_well(name):
    with pytest.raises(InvalidRequestError, match=rf"params\.{name}: set the field '{name}'"):
        BatchRequest("a", "Hello.", params={name: 1})


def test_an_invalid_request_is_a_value_error_too():
    with pytest.raises(ValueError, match="custom_id"):
        BatchRequest("", "Hello.")
