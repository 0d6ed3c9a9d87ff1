"""The requests of one batch are checked against the API's limits and serialised once."""

from __future__ import annotations

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchRequest, BatchTooLargeError, InvalidRequestError
from meshflow_prefect.chunking import MAX_BYTES, make_chunk, task_ids

PROMPTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), min_size=1, max_size=6
)


def numbered(prompts: list[str], prefix: str = "row") -> list[BatchRequest]:
    return [BatchRequest(f"{prefix}-{n}", prompt) for n, prompt in enumerate(prompts)]


@given(PROMPTS)
def test_the_body_holds_the_requests_as_they_are(prompts):
    requests = numbered(prompts)
    chunk = make_chunk(requests)

    body = b"".join(chunk.body())

    assert orjson.loads(body) == {"requests": [request.to_api_request() for request in requests]}
    assert len(body) == chunk.size


def test_a_large_body_comes_in_blocks_and_as_often_as_it_is_asked_for():
    requests = numbered(["x" * 700_000] * 5)
    chunk = make_chunk(requests)

    blocks = list(chunk.body())

    assert len(blocks) > 1
    assert blocks == list(chunk.body())
    assert len(orjson.loads(b"".join(blocks))["requests"]) == 5
    assert sum(map(len, blocks)) == chunk.size


def test_the_ids_are_kept_in_order():
    assert make_chunk(numbered(["x", "y"])).custom_ids == ("row-0", "row-1")


@given(PROMPTS)
def test_the_digest_does_not_depend_on_the_ids(prompts):
    assert make_chunk(numbered(prompts)).digest == make_chunk(numbered(prompts, "else")).digest


@pytest.mark.parametrize(
    "other",
    [
        [BatchRequest("b", "two"), BatchRequest("a", "one")],
        [BatchRequest("a", "one")],
        [BatchRequest("a", "one"), BatchRequest("b", "two"), BatchRequest("c", "two")],
        [BatchRequest("a", "one"), BatchRequest("b", "three")],
        [BatchRequest("a", "one"), BatchRequest("b", "two", model="claude-opus-5")],
        [BatchRequest("a", "one"), BatchRequest("b", "two", system="Be brief.")],
        [BatchRequest("a", "one"), BatchRequest("b", "two", max_tokens=1)],
        [BatchRequest("a", "one"), BatchRequest("b", "two", params={"top_k": 1})],
    ],
)
def test_the_digest_depends_on_content_and_order(other):
    plain = [BatchRequest("a", "one"), BatchRequest("b", "two")]
    assert make_chunk(plain).digest != make_chunk(other).digest


def test_nothing_to_submit_is_refused():
    with pytest.raises(InvalidRequestError, match="nothing to submit"):
        make_chunk([])


def test_an_id_that_occurs_twice_is_refused_with_both_places():
    requests = [BatchRequest("a", "1"), BatchRequest("b", "2"), BatchRequest("a", "3")]
    with pytest.raises(InvalidRequestError, match="'a' occurs twice: requests 0 and 2") as refused:
        make_chunk(requests)
    assert refused.value.custom_id == "a"


def test_what_is_not_a_request_is_refused_with_its_place():
    with pytest.raises(InvalidRequestError, match="Request 1: expected a BatchRequest, got dict"):
        make_chunk([BatchRequest("a", "1"), {"custom_id": "b"}])


@pytest.mark.parametrize(
    "unwritable",
    [
        BatchRequest("b", "half a surrogate pair: \ud83d"),
        BatchRequest("b", "x", params={"metadata": object()}),
        BatchRequest("b", "x", params={"metadata": {7: "a key that is no text"}}),
        BatchRequest("b", "x", max_tokens=2**70),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(unwritable):
    with pytest.raises(InvalidRequestError, match=re.escape("Request 1 ('b') cannot be written")):
        make_chunk([BatchRequest("a", "1"), unwritable])


def test_more_requests_than_a_batch_holds_are_refused_with_the_numbers():
    request = BatchRequest("a", "x")
    with pytest.raises(
        BatchTooLargeError, match=r"100,001 requests: .* at most 100,000"
    ) as refused:
        make_chunk([request] * 100_001)
    assert refused.value.requests == 100_001
    assert "at most 100,000" in str(refused.value)


def test_a_hundred_thousand_requests_are_one_batch():
    assert len(make_chunk(numbered(["x"] * 100_000)).items) == 100_000


def test_more_bytes_than_a_batch_holds_are_refused_with_the_numbers():
    huge = "x" * (MAX_BYTES // 3)
    around = make_chunk(numbered(["x"] * 3)).size - 3

    with pytest.raises(BatchTooLargeError, match=r"3 requests take 256,000,.* at most") as refused:
        make_chunk(numbered([huge] * 3))

    assert refused.value.bytes == around + 3 * len(huge)


def test_task_ids_name_the_position_and_repeat_for_the_same_job():
    ids = task_ids("seed", 3)

    assert [re.fullmatch(r"task-(\d+)-[0-9a-f]{12}", i)[1] for i in ids] == ["0", "1", "2"]
    assert len({i.rpartition("-")[2] for i in ids}) == 1
    assert task_ids("seed", 3) == ids
    assert set(task_ids("another", 3)).isdisjoint(ids)


def test_task_ids_of_the_largest_job_are_valid():
    assert BatchRequest(task_ids("seed", 100_000)[-1], "x")
