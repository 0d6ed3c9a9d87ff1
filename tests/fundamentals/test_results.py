"""One line of a results file is one result; nothing that the API said is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchJob, BatchResult, MeshflowError
from meshflow_prefect.results import parse_row

MODEL = "claude-haiku-4-5-20251001"
USAGE = {
    "input_tokens": 1000,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 300,
    "output_tokens": 4,
}


def succeeded(*content: dict, **message: object) -> bytes:
    return row(succeeded_with(*content, **message))


def succeeded_with(*content: dict, **message: object) -> dict:
    whole = {
        "id": "msg_1",
        "model": MODEL,
        "content": list(content or ({"type": "text", "text": "Hi."},)),
        "stop_reason": "end_turn",
        "usage": USAGE,
        **message,
    }
    return {"type": "succeeded", "message": whole}


def row(result: object) -> bytes:
    return orjson.dumps({"custom_id": "a", "result": result})


def test_a_succeeded_row_has_text_tokens_and_cost():
    result = parse_row(succeeded())

    assert result.succeeded
    assert (result.custom_id, result.output, result.model) == ("a", "Hi.", MODEL)
    assert result.tokens == 1324
    # US$ per million, halved: 1 in, 5 out, 1.25 write, 0.10 read.
    assert result.cost_usd == (1000 * 1 + 4 * 5 + 20 * 1.25 + 300 * 0.10) / 2 / 1_000_000
    assert (result.error, result.error_type) == (None, None)
    assert result.usage == USAGE


def test_only_text_blocks_are_output_and_the_message_keeps_the_others():
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "One, "},
        {"type": "from_the_future", "text": "not this", "data": [1]},
        {"type": "text", "text": "two."},
    ]

    result = parse_row(succeeded(*blocks, new_field={"a": 1}))

    assert result.output == "One, two."
    assert result.message["content"] == blocks
    assert result.message["new_field"] == {"a": 1}


def test_what_a_tool_is_given_keeps_all_its_digits():
    block = {"type": "tool_use", "id": "t", "name": "pay", "input": {"iban": 2**70, "x": 0.5}}
    line = json.dumps({"custom_id": "a", "result": succeeded_with(block)}).encode()

    result = parse_row(line)

    assert result.message["content"] == [block]
    assert type(result.message["content"][0]["input"]["iban"]) is int


def test_digits_are_kept_beside_half_of_a_surrogate_pair():
    block = {"type": "server_tool_use", "id": "t", "name": "pay", "input": {"iban": 2**70}}
    text = {"type": "text", "text": "\ud83d"}
    line = json.dumps({"custom_id": "a", "result": succeeded_with(text, block)}).encode()

    result = parse_row(line)

    assert result.output == "\N{REPLACEMENT CHARACTER}"
    assert result.message["content"][1] == block


def test_separators_of_unicode_stay_in_the_text():
    text = "one\u2028two\u2029three\u0085four\x0bfive"
    line = json.dumps(
        {
            "custom_id": "a",
            "result": {
                "type": "succeeded",
                "message": {"content": [{"type": "text", "text": text}]},
            },
        },
        ensure_ascii=False,
    ).encode()

    assert parse_row(line).output == text


@pytest.mark.parametrize(
    ("stop_reason", "refused", "truncated"),
    [
        ("end_turn", False, False),
        ("refusal", True, False),
        ("max_tokens", False, True),
        ("model_context_window_exceeded", False, True),
        ("from_the_future", False, False),
    ],
)
def test_a_refusal_and_a_cut_are_visible_without_reading_the_message(
    stop_reason, refused, truncated
):
    result = parse_row(succeeded(stop_reason=stop_reason))

    assert result.succeeded
    assert (result.stop_reason, result.refused, result.truncated) == (
        stop_reason,
        refused,
        truncated,
    )
    assert result.to_dict()["refused"] is refused
    assert result.to_dict()["truncated"] is truncated


def test_an_errored_row_has_the_kind_that_stands_below_the_envelope():
    error = {"type": "not_found_error", "message": "model: x"}
    result = parse_row(
        row({"type": "errored", "error": {"type": "error", "error": error, "request_id": None}})
    )

    assert (result.status, result.error_type) == ("errored", "not_found_error")
    assert result.error == "not_found_error: model: x"
    assert (result.succeeded, result.output, result.cost_usd) == (False, "", 0.0)


@pytest.mark.parametrize("status", ["expired", "canceled"])
def test_a_row_that_was_not_processed_says_so_and_costs_nothing(status):
    result = parse_row(row({"type": status}))

    assert (result.status, result.error_type, result.cost_usd) == (status, status, 0.0)
    assert result.error
    assert not result.succeeded


def test_a_kind_of_result_that_is_not_known_yet_is_an_error_of_that_kind_and_of_unknown_cost():
    result = parse_row(row({"type": "from_the_future", "message": 7}))

    assert (result.status, result.error_type) == ("errored", "from_the_future")
    assert result.error == (
        "from_the_future: this version of meshflow-prefect does not know such results."
    )
    assert (result.succeeded, result.cost_usd) == (False, None)


def test_the_cost_of_an_unknown_model_is_not_a_zero():
    assert parse_row(succeeded(model="claude-of-tomorrow")).cost_usd is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"7",
        b"null",
        b"[]",
        b"not json",
        b'{"custom_id":"a"}',
        b'{"result":{"type":"expired"}}',
        b'{"custom_id":7,"result":{"type":"expired"}}',
        b'{"custom_id":"a","result":{}}',
        b'{"custom_id":"a","result":null}',
        b'{"custom_id":"a","result":{"type":7}}',
        b'{"custom_id":"a","result":{"type":"succeeded"}}',
        b'{"custom_id":"a","result":{"type":"succeeded","message":null}}',
        b'{"custom_id":"a","result":{"type":"succeeded","message":{"content":null}}}',
        b'{"custom_id":"a","result":{"type":"succeeded","message":{"content":["x"]}}}',
        b'{"custom_id":"a","result":{"type":"errored","error":"x"}}',
        succeeded()[:-20],
        succeeded(usage={"input_tokens": "many"}),
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_not_a_row_is_an_error_of_ours(line):
    with pytest.raises(MeshflowError):
        parse_row(line)


@given(st.integers(0, len(succeeded()) - 1))
def test_a_row_cut_anywhere_is_an_error_of_ours(length):
    with pytest.raises(MeshflowError):
        parse_row(succeeded()[:length])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(text):
    assert parse_row(succeeded({"type": "text", "text": text})).output == text


@pytest.mark.parametrize("line", [succeeded(), row({"type": "expired"})])
def test_a_result_as_a_dictionary_is_json(line):
    result = parse_row(line)

    again = json.loads(json.dumps(result.to_dict()))

    assert again == result.to_dict()
    fields = {name: again[name] for name in BatchResult.__dataclass_fields__}
    assert BatchResult(**fields) == result
    assert again["succeeded"] is result.succeeded


def test_a_job_as_a_dictionary_is_json():
    job = BatchJob(
        "msgbatch_1",
        "in_progress",
        {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        created_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        expires_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    )

    assert json.loads(json.dumps(job.to_dict())) == {
        "batch_id": "msgbatch_1",
        "status": "in_progress",
        "request_counts": dict(job.request_counts),
        "created_at": "2026-11-22T12:00:00+00:00",
        "expires_at": "2026-11-23T12:00:00+00:00",
        "ended_at": None,
        "cancel_initiated_at": None,
        "archived_at": None,
        "is_complete": False,
    }
    assert job.total == 2


@pytest.mark.parametrize(
    ("status", "complete"),
    [("in_progress", False), ("canceling", False), ("ended", True), ("canceled", True)],
)
def test_a_job_is_complete_when_its_results_can_be_read(status, complete):
    now = datetime.now(UTC)
    assert BatchJob("b", status, {}, created_at=now, expires_at=now).is_complete is complete


def test_an_error_without_its_envelope_is_read_as_well():
    found = parse_row(
        row({"type": "errored", "error": {"type": "overloaded_error", "message": "Full"}})
    )

    assert (found.status, found.error_type) == ("errored", "overloaded_error")
    assert found.error == "overloaded_error: Full"


@pytest.mark.parametrize(
    "usage", [None, {}, {"input_tokens": None, "output_tokens": None, "service_tier": "batch"}]
)
def test_the_cost_of_a_reply_whose_usage_is_not_told_is_not_known(usage):
    found = parse_row(succeeded(usage=usage))

    assert found.succeeded
    assert (found.tokens, found.cost_usd) == (0, None)


def test_a_text_block_without_text_is_empty():
    found = parse_row(succeeded({"type": "text", "text": None}))

    assert (found.status, found.output) == ("succeeded", "")


def test_half_a_surrogate_pair_is_marked_and_the_rest_of_the_row_is_there():
    line = succeeded({"type": "text", "text": "a HALF b \U0001f600 é"}).replace(b"HALF", rb"\ud83d")

    found = parse_row(line)

    assert found.output == "a \N{REPLACEMENT CHARACTER} b \U0001f600 é"
    assert found.tokens == 1324


def test_a_row_that_is_too_deep_to_read_is_no_result():
    with pytest.raises(MeshflowError, match="Not a result row"):
        parse_row(rb'{"custom_id":"\ud83d","result":' + b"[" * 100_000)
