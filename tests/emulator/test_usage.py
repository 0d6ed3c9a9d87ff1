"""Token counts: consistent with count_tokens, and honest about the prompt cache."""

from __future__ import annotations

from typing import Any

import httpx

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import message_of, params, run

_LONG = "Terms and conditions of the harbour. " * 200


def _prompt_tokens(usage: dict[str, Any]) -> int:
    return sum(
        usage[name]
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    )


def _cached(question: str, ttl: str | None = None, **more: Any) -> dict[str, Any]:
    control = {"type": "ephemeral"} | ({} if ttl is None else {"ttl": ttl})
    system = [{"type": "text", "text": _LONG, "cache_control": control}]
    return params(question, system=system, **more)


def test_usage_has_every_field_that_is_billed(emulator: Emulator, api: httpx.Client) -> None:
    usage = message_of(emulator, api, params("four" * 100))["usage"]
    assert usage["input_tokens"] == 103
    assert usage["output_tokens"] > 0
    assert usage["service_tier"] == "batch"
    assert usage["inference_geo"] == "global"
    assert usage["server_tool_use"] is None
    assert usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 0,
    }


def test_inference_geo_is_told_back(emulator: Emulator, api: httpx.Client) -> None:
    assert message_of(emulator, api, params(inference_geo="us"))["usage"]["inference_geo"] == "us"


def test_count_tokens_agrees_with_usage(emulator: Emulator, api: httpx.Client) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}}
    rows = [
        params(),
        params(system="Be brief."),
        params(tools=[{"name": "t", "input_schema": {"type": "object"}}]),
        params(messages=[{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}]),
        _cached("What does it say?"),
    ]
    for row in rows:
        body = {name: value for name, value in row.items() if name != "max_tokens"}
        counted = api.post("/v1/messages/count_tokens", json=body).json()
        assert counted == {"input_tokens": _prompt_tokens(message_of(emulator, api, row)["usage"])}


def test_the_first_request_with_a_prefix_writes_it_and_later_ones_read_it(
    emulator: Emulator, api: httpx.Client
) -> None:
    rows = run(emulator, api, _cached("One?"), _cached("Two?"), params("No prefix?"))
    first, second, without = (row["message"]["usage"] for row in rows)
    written = first["cache_creation_input_tokens"]
    assert written == first["cache_creation"]["ephemeral_5m_input_tokens"] == len(_LONG) // 4
    assert first["cache_read_input_tokens"] == 0
    assert (second["cache_read_input_tokens"], second["cache_creation_input_tokens"]) == (
        written,
        0,
    )
    assert first["input_tokens"] == second["input_tokens"] < 10
    assert without["cache_read_input_tokens"] == without["cache_creation_input_tokens"] == 0


def test_a_prefix_of_one_batch_is_read_by_the_next_while_it_lives(
    emulator: Emulator, api: httpx.Client
) -> None:
    usage = run(emulator, api, _cached("Warm up.", ttl="1h"))[0]["message"]["usage"]
    assert usage["cache_creation"]["ephemeral_1h_input_tokens"] > 0
    emulator.advance(3000)
    usage = run(emulator, api, _cached("Now.", ttl="1h"))[0]["message"]["usage"]
    assert usage["cache_read_input_tokens"] > 0
    emulator.advance(2 * 3600)
    usage = run(emulator, api, _cached("Much later.", ttl="1h"))[0]["message"]["usage"]
    assert usage["cache_read_input_tokens"] == 0


def test_a_prefix_belongs_to_its_model(emulator: Emulator, api: httpx.Client) -> None:
    rows = run(emulator, api, _cached("One?"), _cached("One?", model="claude-opus-5"))
    assert [row["message"]["usage"]["cache_read_input_tokens"] for row in rows] == [0, 0]


def test_a_conversation_is_cached_up_to_its_marked_message(
    emulator: Emulator, api: httpx.Client
) -> None:
    marked = {"type": "text", "text": _LONG, "cache_control": {"type": "ephemeral"}}
    start = [{"role": "user", "content": [marked]}, {"role": "assistant", "content": "Yes."}]
    turns = [[*start, {"role": "user", "content": each}] for each in ("And?", "So what?")]
    rows = run(emulator, api, *(params(messages=each) for each in turns))
    usages = [row["message"]["usage"] for row in rows]
    assert usages[0]["cache_creation_input_tokens"] == usages[1]["cache_read_input_tokens"] > 0


def test_a_longer_prefix_reads_the_shorter_one_and_writes_the_rest(
    emulator: Emulator, api: httpx.Client
) -> None:
    short = {"type": "text", "text": _LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    long = {"type": "text", "text": "More. " * 400, "cache_control": {"type": "ephemeral"}}
    rows = run(emulator, api, params(system=[short]), params(system=[short, long]))
    usage = rows[1]["message"]["usage"]
    assert usage["cache_read_input_tokens"] == len(_LONG) // 4
    assert usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 600,
        "ephemeral_1h_input_tokens": 0,
    }


def test_a_batch_that_is_refused_leaves_nothing_in_the_cache(
    emulator: Emulator, api: httpx.Client
) -> None:
    twice = {"custom_id": "same", "params": _cached("One?")}
    assert api.post("/v1/messages/batches", json={"requests": [twice, twice]}).status_code == 400
    usage = run(emulator, api, _cached("One?"))[0]["message"]["usage"]
    assert usage["cache_read_input_tokens"] == 0


def test_spend_adds_up_what_ended_batches_bill(emulator: Emulator, api: httpx.Client) -> None:
    rows = run(emulator, api, _cached("One?"), _cached("Two?"), params(model="no-such-model"))
    usages = [row["message"]["usage"] for row in rows[:2]]
    (spent,) = emulator.spend().values()
    assert spent["requests"] == 2
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        assert spent[name] == sum(usage[name] for usage in usages)
