"""What is wrong inside `params` is found later, and comes back as an errored row."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import BATCHES, client_of, create, params, results_of, run, status_of


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in params().items() if key != name}


def _saying(content: object, role: str = "user") -> dict[str, Any]:
    return params(messages=[{"role": role, "content": content}])


_UNSUPPORTED = "is not supported in the Message Batches API"
_EMPTY = (
    "messages.0: all messages must have non-empty content except for the optional final "
    "assistant message"
)
_TOOL = {"name": "t", "input_schema": {}}
_FORCED = {"tools": [_TOOL], "tool_choice": {"type": "any"}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (_without("messages"), "messages: Field required"),
        (_without("model"), "model: Field required"),
        (_without("max_tokens"), "max_tokens: Field required"),
        (params(stream=True), f'"stream=True" {_UNSUPPORTED}'),
        (params(speed="fast"), f'"speed" {_UNSUPPORTED}'),
        (params(store=True), f'"store" {_UNSUPPORTED}'),
        (params(previous_thread_event_id="x"), f'"previous_thread_event_id" {_UNSUPPORTED}'),
        (params(cache_hint="x"), f'"cache_hint" {_UNSUPPORTED}'),
        (params(context_hint="x"), f'"context_hint" {_UNSUPPORTED}'),
        (params(fallbacks=[]), f'"fallbacks" {_UNSUPPORTED}'),
        (params(max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
        (params(max_tokens="9"), "max_tokens: Input should be a valid integer"),
        (
            params(max_tokens=64_001),
            "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for "
            "claude-haiku-4-5-20251001",
        ),
        (params(wisdom=1), "wisdom: Extra inputs are not permitted"),
        (params(messages=[]), "messages: at least one message is required"),
        (params(messages=7), "messages: Input should be a valid list"),
        (params(messages=[7]), "messages.0: Input should be a valid dictionary"),
        (_saying(""), _EMPTY),
        (_saying([]), _EMPTY),
        (_saying(7), "messages.0.content: Input should be a valid string or list"),
        (
            _saying([{"type": "text", "text": ""}]),
            "messages: text content blocks must be non-empty",
        ),
        (_saying([{"type": "text"}]), "messages.0.content.0.text: Field required"),
        (_saying("x", role="robot"), "messages.0.role: Input should be 'user' or 'assistant'"),
        (params(system=7), "system: Input should be a valid string or list"),
        (params(system=[{"type": "text"}]), "system.0.text: Field required"),
        (params(model=7), "model: Input should be a valid string"),
        (params(tools=7), "tools: Input should be a valid list"),
        (params(tools=[7]), "tools.0: Input should be a valid dictionary"),
        (params(tools=[{}]), "tools.0.name: Field required"),
        (params(stop_sequences=[7]), "stop_sequences.0: Input should be a valid string"),
        (params(tools=[_TOOL, _TOOL]), "tools: Tool names must be unique."),
        (params(tool_choice=7), "tool_choice: Input should be a valid dictionary"),
        (params(tool_choice={"type": "any"}), "tool_choice: may only be specified with tools"),
        (
            params(tools=[_TOOL], tool_choice={"type": "tool"}),
            "tool_choice.tool.name: Field required",
        ),
        (
            params(tools=[_TOOL], tool_choice={"type": "tool", "name": "other"}),
            "Tool 'other' not found in provided tools",
        ),
        (
            params(tools=[_TOOL], tool_choice={"type": "maybe"}),
            "tool_choice: Input tag 'maybe' found using 'type' does not match any of the expected "
            "tags: 'auto', 'any', 'tool', 'none'",
        ),
        (params(temperature=5), "temperature: Input should be less than or equal to 1"),
        (params(temperature=-1), "temperature: Input should be greater than or equal to 0"),
        (params(top_p="much"), "top_p: Input should be a valid number"),
        (
            params(model="claude-haiku-5-5", **_FORCED),
            "tool_choice: forced tool use is not supported by claude-haiku-5-5",
        ),
        (
            params(thinking={"type": "enabled", "budget_tokens": 1024}),
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (
            params(thinking={"type": "enabled", "budget_tokens": 1}),
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ),
    ],
)
def test_a_bad_request_is_an_errored_row(
    emulator: Emulator, api: httpx.Client, row: dict[str, Any], message: str
) -> None:
    error = {"type": "invalid_request_error", "message": message}
    assert run(emulator, api, row) == [
        {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}
    ]


def test_an_unknown_model_is_not_found_and_the_other_rows_are_unharmed(
    emulator: Emulator, api: httpx.Client
) -> None:
    batch_id = create(api, params(), params(model="x"), params())["id"]
    emulator.end(batch_id)
    results = results_of(api, batch_id)
    error = {"type": "not_found_error", "message": "model: x"}
    assert results["row-1"]["error"]["error"] == error
    assert [results[f"row-{n}"]["type"] for n in (0, 2)] == ["succeeded", "succeeded"]
    counts = status_of(api, batch_id)["request_counts"]
    assert (counts["succeeded"], counts["errored"]) == (2, 1)


@pytest.mark.parametrize(
    "model",
    ["claude-haiku-4-5", "claude-opus-5-5", "claude-sonnet-4-5-20250929", "claude-mythos-preview"],
)
def test_models_are_known_with_and_without_a_date(
    emulator: Emulator, api: httpx.Client, model: str
) -> None:
    assert run(emulator, api, params(model=model))[0]["message"]["model"] == model


def test_more_models_can_be_made_known() -> None:
    with Emulator(extra_models=("my-model",)) as emulator, client_of(emulator) as api:
        assert run(emulator, api, params(model="my-model"))[0]["type"] == "succeeded"


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_sampling_parameters_are_refused_from_the_newest_version_on(
    emulator: Emulator, api: httpx.Client, name: str
) -> None:
    row = params(**{name: 1})
    assert run(emulator, api, row)[0]["type"] == "succeeded"
    with client_of(emulator, **{"anthropic-version": "2026-10-21"}) as newer:
        result = run(emulator, newer, row)[0]
    assert result["error"]["error"]["message"] == f"{name}: Extra inputs are not permitted"


def test_a_beta_header_raises_the_limit_on_output(emulator: Emulator) -> None:
    row = params(max_tokens=300_000)
    with client_of(emulator, **{"anthropic-beta": "a, output-300k-2026-03-24"}) as api:
        assert run(emulator, api, row)[0]["type"] == "succeeded"


def test_stream_false_is_no_mistake(emulator: Emulator, api: httpx.Client) -> None:
    assert run(emulator, api, params(stream=False))[0]["type"] == "succeeded"


def test_a_schema_that_nothing_satisfies_is_an_errored_row_and_is_counted_as_one(
    emulator: Emulator, api: httpx.Client
) -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    output = {"format": {"type": "json_schema", "schema": schema}}
    batch_id = create(api, params(output_config=output), params())["id"]
    emulator.end(batch_id)
    assert status_of(api, batch_id)["request_counts"]["errored"] == 1
    assert results_of(api, batch_id)["row-0"]["type"] == "errored"


def test_the_same_mistakes_are_refused_at_once_outside_a_batch(api: httpx.Client) -> None:
    answer = api.post("/v1/messages", json=params(model="x"))
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "model: x"
    assert api.post("/v1/messages", content=b"{").status_code == 400
    assert api.get(BATCHES).json()["data"] == []
