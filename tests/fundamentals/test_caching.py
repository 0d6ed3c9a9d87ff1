"""A long system prompt that requests share is cached for an hour; what that saves is counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchRequest, BatchResult
from meshflow_prefect.caching import (
    cache_saving,
    first_of_each_prefix,
    shortest_prefix,
    with_cached_system,
)
from meshflow_prefect.pricing import cost_of

OPUS = "claude-opus-5"
LONG = "The rules of the harbour. " * 200
TOOL = {"name": "look", "input_schema": {"type": "object", "description": LONG}}
MARK = {"type": "ephemeral", "ttl": "1h"}


def jobs(count: int, system=LONG, model: str = OPUS, **fields) -> list[BatchRequest]:
    return [BatchRequest(f"row-{n}", f"{n}?", model, system, **fields) for n in range(count)]


def marks(requests: list[BatchRequest]) -> list[bool]:
    return ['"cache_control"' in json.dumps(request.to_api_request()) for request in requests]


def test_a_long_system_prompt_is_one_text_block_with_the_one_hour_cache():
    first, *others = with_cached_system(jobs(3))

    assert first.system == [{"type": "text", "text": LONG, "cache_control": MARK}]
    assert all(each.system == first.system for each in others)
    assert [each.prompt for each in (first, *others)] == ["0?", "1?", "2?"]


def test_of_several_blocks_the_last_is_marked():
    blocks = [{"type": "text", "text": LONG}, {"type": "text", "text": "Be brief."}]
    (request, *_) = with_cached_system(jobs(3, blocks))
    assert request.system == [blocks[0], {**blocks[1], "cache_control": MARK}]


def test_two_requests_would_pay_more_than_they_save():
    assert marks(with_cached_system(jobs(2))) == [False] * 2
    assert marks(with_cached_system(jobs(3))) == [True] * 3


@pytest.mark.parametrize(
    "other",
    [
        {"system": LONG + "!"},
        {"model": "claude-opus-5-5"},
        {"params": {"tools": [TOOL]}},
        {"params": {"output_config": {"format": {"type": "json_schema", "schema": {}}}}},
    ],
)
def test_only_requests_with_the_same_prefix_share_it(other):
    assert marks(with_cached_system(jobs(3) + jobs(2, **other))) == [True] * 3 + [False] * 2


def test_a_system_prompt_that_is_too_short_for_the_model_is_left_alone():
    assert marks(with_cached_system(jobs(3, "Be brief."))) == [False] * 3
    assert marks(with_cached_system(jobs(3, LONG, "claude-haiku-4-5-20251001"))) == [False] * 3
    assert marks(with_cached_system(jobs(3, LONG * 3, "claude-haiku-4-5-20251001"))) == [True] * 3


def test_tools_stand_before_the_system_prompt_and_count_for_its_length():
    assert marks(with_cached_system(jobs(3, "Be brief.", params={"tools": [TOOL]}))) == [True] * 3


@pytest.mark.parametrize(
    "own",
    [
        {"system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]},
        {"params": {"cache_control": {"type": "ephemeral"}}},
        {"params": {"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]}},
        {"system": ""},
        {"system": []},
    ],
)
def test_requests_that_mark_something_themselves_or_have_no_system_prompt_are_left_alone(own):
    requests = jobs(3, **own)
    assert with_cached_system(requests) == requests


def test_marking_twice_is_marking_once():
    once = with_cached_system(jobs(4))
    assert with_cached_system(once) == once


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-haiku-4-5-20251001", 4096),
        ("claude-haiku-4-5", 4096),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-0", 1024),
        ("claude-sonnet-4-20250514", 1024),
        ("claude-opus-5-5", 512),
        ("claude-of-tomorrow", 512),
    ],
)
def test_each_model_has_its_own_shortest_prefix(model, tokens):
    assert shortest_prefix(model) == tokens


def test_the_first_request_of_each_marked_prefix_can_be_sent_before_the_others():
    requests = with_cached_system(
        jobs(2, "Short.") + jobs(3) + jobs(3, LONG + "!") + jobs(3, model="claude-sonnet-5-5")
    )
    assert first_of_each_prefix(requests) == [2, 5, 8]
    assert first_of_each_prefix(jobs(3)) == []


def row(model: str = OPUS, **usage: int) -> BatchResult:
    return BatchResult("a", "succeeded", model=model, usage=usage)


def test_reading_saves_what_plain_input_costs_more_and_writing_costs_its_surcharge():
    # Opus 5 in a batch, US$ per million: input 2.50, 1-hour write 5, read 0.25.
    hour = {"ephemeral_1h_input_tokens": 10_000}
    written = BatchResult(
        "a",
        "succeeded",
        model=OPUS,
        usage={"cache_creation_input_tokens": 10_000, "cache_creation": hour},
    )
    read = row(cache_read_input_tokens=10_000, input_tokens=500, output_tokens=9)

    assert cache_saving([written]).saved_usd == pytest.approx(-0.025)
    assert cache_saving([read]).saved_usd == pytest.approx(0.0225)
    three = cache_saving([written, read, read])
    assert three.to_dict() == {
        "read_tokens": 20_000,
        "written_tokens": 10_000,
        "saved_usd": pytest.approx(0.02),
    }


def test_attempts_that_were_billed_before_count_too():
    read = {"cache_read_input_tokens": 10_000}
    result = BatchResult("a", "succeeded", model=OPUS, usage=read, earlier_usage=[read])
    assert cache_saving([result]).saved_usd == pytest.approx(0.045)


def test_without_cached_tokens_nothing_is_saved_even_where_no_price_is_known():
    rows = [
        row(input_tokens=9),
        row("claude-of-tomorrow", input_tokens=9),
        BatchResult("a", "missing"),
    ]
    assert cache_saving(rows).to_dict() == {
        "read_tokens": 0,
        "written_tokens": 0,
        "saved_usd": 0.0,
    }


def test_the_saving_on_a_model_without_a_price_is_not_known():
    saving = cache_saving([row(cache_read_input_tokens=5), row("new", cache_read_input_tokens=5)])
    assert (saving.read_tokens, saving.saved_usd) == (10, None)


COUNTS = st.integers(0, 120_000)


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.sampled_from([OPUS, "claude-haiku-5-5"]))
def test_the_saving_is_the_difference_to_the_same_prompt_without_a_cache(
    plain, read, short, hour, model
):
    usage = {
        "input_tokens": plain,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + hour,
        "cache_creation": {
            "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": 7,
    }
    whole = {"input_tokens": plain + read + short + hour, "output_tokens": 7}

    saving = cache_saving([BatchResult("a", "succeeded", model=model, usage=usage)])

    difference = cost_of(model, whole) - cost_of(model, usage)
    assert saving.saved_usd == pytest.approx(float(difference), abs=1e-12)
    assert (saving.read_tokens, saving.written_tokens) == (read, short + hour)
