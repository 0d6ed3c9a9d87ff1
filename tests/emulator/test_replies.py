"""Replies are deterministic, made of the prompt, and stop for the reasons they should."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import (
    BATCHES,
    client_of,
    create,
    message_of,
    params,
    results_of,
    run,
)


def _text(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def test_a_reply_is_a_message_that_uses_the_words_of_the_prompt(
    emulator: Emulator, api: httpx.Client
) -> None:
    message = message_of(emulator, api, params("Summarize the lease of the lighthouse."))
    assert message["id"].startswith("msg_")
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert "lighthouse" in _text(message)
    assert len(_text(message).split()) >= 20


def test_the_same_request_gets_the_same_reply_and_another_one_another(
    emulator: Emulator, api: httpx.Client
) -> None:
    same, again, other, model, system = run(
        emulator,
        api,
        params("Name three colours."),
        params("Name three colours."),
        params("Name three animals."),
        params("Name three colours.", model="claude-opus-5"),
        params("Name three colours.", system="Be brief."),
    )
    assert same["message"]["content"] == again["message"]["content"]
    assert same["message"]["id"] != again["message"]["id"]
    texts = [_text(row["message"]) for row in (same, other, model, system)]
    assert len(set(texts)) == 4


def test_the_same_calls_to_an_emulator_as_new_get_the_same_replies_whatever_the_ids(
    emulator: Emulator, api: httpx.Client
) -> None:
    def replies(name: str) -> list[list[dict[str, Any]]]:
        rows = [params("Think.", **_THINKING), params("Weather? [[tool_use]]", tools=[_TOOL])]
        found = []
        for prompt in ("Go.", "Go.", "Stop."):
            ids = [f"{name}-{prompt[0]}-{n}" for n in range(3)]
            body = [
                {"custom_id": custom_id, "params": row}
                for custom_id, row in zip(ids, [params(prompt), *rows], strict=True)
            ]
            batch_id = api.post(BATCHES, json={"requests": body}).json()["id"]
            emulator.end(batch_id)
            results = results_of(api, batch_id)
            found.append([results[custom_id]["message"] for custom_id in ids])
        return found

    once = replies("some")
    emulator.reset()
    assert replies("other") == once
    ids = [message["id"] for batch in once for message in batch]
    assert len(set(ids)) == 9


def test_the_replies_of_a_later_batch_have_ids_of_their_own_where_an_earlier_one_is_deleted(
    emulator: Emulator, api: httpx.Client
) -> None:
    def reply_id() -> str:
        batch_id = create(api)["id"]
        emulator.end(batch_id)
        reply: str = results_of(api, batch_id)["row-0"]["message"]["id"]
        assert api.delete(f"{BATCHES}/{batch_id}").status_code == 200
        return reply

    assert reply_id() != reply_id()


def test_the_last_user_message_is_answered(emulator: Emulator, api: httpx.Client) -> None:
    turns = [
        {"role": "user", "content": "Talk about mountains."},
        {"role": "assistant", "content": "They are high."},
        {"role": "user", "content": [{"type": "text", "text": "And what about submarines?"}]},
    ]
    assert "submarines" in _text(message_of(emulator, api, params(messages=turns)))


def test_a_reply_longer_than_max_tokens_is_cut(emulator: Emulator, api: httpx.Client) -> None:
    message = message_of(emulator, api, params(max_tokens=5))
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == 5
    assert 0 < len(_text(message)) <= 20


def test_a_reply_ends_before_a_stop_sequence(emulator: Emulator, api: httpx.Client) -> None:
    row = params("Tell me of dragons.", stop_sequences=["never said", "dragons"])
    message = message_of(emulator, api, row)
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "dragons")
    assert "dragons" not in _text(message)


def test_a_prompt_can_ask_to_be_refused(emulator: Emulator, api: httpx.Client) -> None:
    message = message_of(emulator, api, params("[[refuse]] How?"))
    assert message["stop_reason"] == "refusal"
    assert message["content"] == []
    assert message["stop_details"]["type"] == "refusal"


@pytest.mark.parametrize(
    ("marker", "reason"),
    [("[[pause]]", "pause_turn"), ("[[context_window]]", "model_context_window_exceeded")],
)
def test_a_prompt_can_ask_for_the_rarer_reasons_to_stop(
    emulator: Emulator, api: httpx.Client, marker: str, reason: str
) -> None:
    assert message_of(emulator, api, params(f"{marker} Go."))["stop_reason"] == reason


@pytest.mark.parametrize("count", [1, 2, 40, 700])
@pytest.mark.parametrize("prompt", ["Hi.", "Context?", "The lighthouse and the harbour."])
def test_a_reply_has_as_many_words_as_were_asked_for_whatever_the_prompt(
    emulator: Emulator, api: httpx.Client, prompt: str, count: int
) -> None:
    row = params(f"[[words {count}]] {prompt}", max_tokens=5_000)
    assert len(_text(message_of(emulator, api, row)).split(" ")) == count


def test_a_prompt_or_a_setting_can_ask_for_a_length(emulator: Emulator, api: httpx.Client) -> None:
    row = params("[[words 500]] Tell a story of the sea.")
    assert len(_text(message_of(emulator, api, row)).split()) == 500
    with Emulator(reply_words=7) as brief, client_of(brief) as client:
        assert len(_text(message_of(brief, client, params())).split()) == 7


@pytest.mark.parametrize(
    ("prompt", "reply"),
    [
        ("What is it? [[reply: Paris]] Say it.", "Paris"),
        ('[[reply: {"rows": [[1], [2]]}]]', '{"rows": [[1], [2]]}'),
        ("[[reply: [[1, 2]]]] and more", "[[1, 2]]"),
        ('Two lines: [[reply: {\n "a": [[1]\n ]\n}]]', '{\n "a": [[1]\n ]\n}'),
        ("[[reply: one]] [[reply: two]]", "one"),
        ("[[reply: one]], [[reply: two]]", "one"),
        ("Say [[reply: Yes.]], please.", "Yes."),
        ("[[reply when lamp: Light.]] [[reply: Dark.]] A lamp?", "Light."),
        ("[[reply when lamp: Light.]] [[reply: Dark.]] A candle?", "Dark."),
    ],
)
def test_a_prompt_can_ask_for_an_exact_reply(
    emulator: Emulator, api: httpx.Client, prompt: str, reply: str
) -> None:
    assert _text(message_of(emulator, api, params(prompt))) == reply


def test_without_a_condition_that_holds_the_reply_is_made_as_ever(
    emulator: Emulator, api: httpx.Client
) -> None:
    asked = params("[[reply when lamp: Light.]] Name the harbour.")
    assert "harbour" in _text(message_of(emulator, api, asked))
    assert "lamp" not in _text(message_of(emulator, api, asked))


def test_an_exact_reply_can_break_the_schema_and_is_cut_like_any_other(
    emulator: Emulator, api: httpx.Client
) -> None:
    output = {"format": {"type": "json_schema", "schema": {"type": "integer"}}}
    row = params('[[reply: {"no": "integer"}]]', output_config=output, max_tokens=2)
    message = message_of(emulator, api, row)
    assert (_text(message), message["stop_reason"]) == ('{"no": "', "max_tokens")


_THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
_TOOL = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
        "required": ["city", "days"],
    },
}


@pytest.mark.parametrize(
    ("prompt", "choice"),
    [
        ("Weather? [[tool_use]]", None),
        ("Weather?", {"type": "any"}),
        ("Weather?", {"type": "tool", "name": "get_weather"}),
    ],
)
def test_a_tool_is_called_with_an_input_of_its_schema(
    emulator: Emulator, api: httpx.Client, prompt: str, choice: dict[str, str] | None
) -> None:
    more = {} if choice is None else {"tool_choice": choice}
    message = message_of(emulator, api, params(prompt, tools=[_TOOL], **more))
    assert message["stop_reason"] == "tool_use"
    (block,) = message["content"]
    assert (block["type"], block["name"]) == ("tool_use", "get_weather")
    jsonschema.validate(block["input"], _TOOL["input_schema"])


def test_a_tool_that_is_not_asked_for_is_not_called(emulator: Emulator, api: httpx.Client) -> None:
    assert message_of(emulator, api, params(tools=[_TOOL]))["stop_reason"] == "end_turn"


def test_a_web_search_is_in_the_content_and_in_the_usage(
    emulator: Emulator, api: httpx.Client
) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    message = message_of(emulator, api, params("[[search]] Tides today?", tools=tools))
    kinds = [block["type"] for block in message["content"]]
    assert kinds == ["server_tool_use", "web_search_tool_result", "text"]
    assert message["usage"]["server_tool_use"]["web_search_requests"] == 1
    assert (
        message_of(emulator, api, params("Tides?", tools=tools))["usage"]["server_tool_use"] is None
    )


def test_thinking_comes_first_and_is_counted(emulator: Emulator, api: httpx.Client) -> None:
    message = message_of(emulator, api, params(**_THINKING))
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    thought = message["usage"]["output_tokens_details"]["thinking_tokens"]
    assert 0 < thought < message["usage"]["output_tokens"]


def test_structured_output_satisfies_its_schema(emulator: Emulator, api: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "sentiment": {"enum": ["good", "bad"]},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["title", "sentiment", "score"],
        "additionalProperties": False,
    }
    output = {"format": {"type": "json_schema", "schema": schema}}
    message = message_of(emulator, api, params("Review the harbour.", output_config=output))
    jsonschema.validate(json.loads(_text(message)), schema)
    assert "harbour" in _text(message)


def test_a_message_outside_a_batch_gets_the_same_reply_in_the_standard_tier(
    emulator: Emulator, api: httpx.Client
) -> None:
    direct = api.post("/v1/messages", json=params()).json()
    assert direct["content"] == message_of(emulator, api, params())["content"]
    assert direct["usage"]["service_tier"] == "standard"
    assert api.post("/v1/messages", json=params(stream=True)).status_code == 400
