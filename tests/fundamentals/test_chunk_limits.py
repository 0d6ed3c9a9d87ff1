"""Any number of requests are cut into chunks within both limits, byte for byte, in their order."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchRequest, BatchTooLargeError, InvalidRequestError
from meshflow_prefect.chunking import (
    MAX_BYTES,
    MAX_REQUESTS,
    SEPARATOR,
    Filling,
    HeldChunk,
    Limits,
    item_of,
    make_chunk,
    make_chunks,
    task_ids,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map("Say: {}".format)
JOBS = st.lists(TEXTS, min_size=1, max_size=12)
LARGEST = 400
"""Bytes that any one of these requests fits into, with what stands around it."""


def numbered(texts: list[str]) -> list[BatchRequest]:
    return [BatchRequest(f"row-{n}", text) for n, text in enumerate(texts)]


def body(chunk: HeldChunk) -> bytes:
    return b"".join(chunk.body())


@given(JOBS, st.integers(1, 5), st.integers(LARGEST, 4 * LARGEST))
def test_every_request_is_in_one_chunk_in_order_and_none_is_over_a_limit(texts, most, size):
    requests = numbered(texts)

    chunks = make_chunks(requests, limits=Limits(max_requests=most, max_bytes=size))

    sent = [item for chunk in chunks for item in orjson.loads(body(chunk))["requests"]]
    assert sent == [request.to_api_request() for request in requests]
    assert [i for chunk in chunks for i in chunk.custom_ids] == [r.custom_id for r in requests]
    for chunk in chunks:
        assert 1 <= chunk.requests <= most
        assert len(body(chunk)) == chunk.size <= size


@given(JOBS, st.integers(1, 5), st.integers(LARGEST, 4 * LARGEST))
def test_a_chunk_is_closed_only_when_the_next_request_does_not_fit(texts, most, size):
    chunks = make_chunks(numbered(texts), limits=Limits(max_requests=most, max_bytes=size))

    for chunk, following in pairwise(chunks):
        with_one_more = len(body(chunk)) + len(SEPARATOR) + len(following.items[0])
        assert chunk.requests == most or with_one_more > size


@given(JOBS)
def test_a_limit_of_exactly_the_bytes_holds_all_and_one_byte_less_does_not(texts):
    requests = numbered([*texts, "One more."])
    size = make_chunk(requests).size

    assert len(make_chunks(requests, limits=Limits(max_bytes=size))) == 1
    assert len(make_chunks(requests, limits=Limits(max_bytes=size - 1))) == 2


@given(JOBS, st.integers(1, 5))
def test_each_chunk_is_what_it_would_be_alone(texts, most):
    requests = numbered(texts)

    chunks = make_chunks(requests, limits=Limits(max_requests=most))

    starts = range(0, len(requests), most)
    assert chunks == [make_chunk(requests[start : start + most]) for start in starts]


@given(JOBS, st.integers(1, 5))
def test_a_filling_counts_what_a_chunk_becomes(texts, most):
    filling = Filling(Limits(max_requests=most))
    requests = numbered(texts)[:most]

    for number, request in enumerate(requests):
        params = orjson.dumps(request.to_api_request()["params"])
        assert filling.has_room(item_of(request.custom_id, params))
        filling.add(item_of(request.custom_id, params), params)
        so_far = make_chunk(requests[: number + 1])
        assert (filling.requests, filling.size) == (so_far.requests, len(body(so_far)))
        assert filling.digest == so_far.digest

    assert filling.has_room(b"{}") == (len(requests) < most)


def test_an_id_that_occurs_in_two_chunks_is_refused_with_both_places():
    requests = [BatchRequest("a", "1"), BatchRequest("b", "2"), BatchRequest("a", "3")]
    with pytest.raises(InvalidRequestError, match="'a' occurs twice: requests 0 and 2"):
        make_chunks(requests, limits=Limits(max_requests=1))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_request_that_no_batch_holds_is_named_with_its_bytes(position):
    requests = numbered(["Say: 1", "Say: 2", "Say: 3"])
    requests[position] = BatchRequest("huge", "x" * 1000)
    too_large = len(make_chunk([requests[position]]).items[0])

    with pytest.raises(BatchTooLargeError) as refused:
        make_chunks(requests, limits=Limits(max_bytes=1000))

    assert f"Request {position} ('huge') takes {too_large:,} bytes" in str(refused.value)
    assert "at most 1,000" in str(refused.value)
    assert (refused.value.custom_id, refused.value.bytes) == ("huge", too_large)


def test_no_requests_at_all_are_refused():
    with pytest.raises(InvalidRequestError, match="nothing to submit"):
        make_chunks([])


@given(JOBS)
def test_renamed_requests_are_the_same_under_other_ids(texts):
    old, new = task_ids("old", len(texts)), task_ids("new", len(texts))
    under = [
        [BatchRequest(i, text) for i, text in zip(ids, texts, strict=True)] for ids in (old, new)
    ]

    assert make_chunk(under[0]).renamed(new) == make_chunk(under[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_requests", 0),
        ("max_requests", MAX_REQUESTS + 1),
        ("max_bytes", 0),
        ("max_bytes", MAX_BYTES + 1),
    ],
)
def test_limits_that_the_api_does_not_have_are_refused(name, value):
    with pytest.raises(InvalidRequestError, match=f"{name}_per_batch: must be from 1 to"):
        Limits(**{name: value})
