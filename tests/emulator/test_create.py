"""What a create call accepts, and what it refuses with which words."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import BATCHES, client_of, create, error_of, params, requests

_PATTERN = "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"


def test_a_new_batch_has_the_ten_keys_and_is_in_progress(api: httpx.Client) -> None:
    batch = create(api, params(), params())
    assert set(batch) == {
        "id",
        "type",
        "processing_status",
        "request_counts",
        "created_at",
        "expires_at",
        "ended_at",
        "archived_at",
        "cancel_initiated_at",
        "results_url",
    }
    assert batch["id"].startswith("msgbatch_")
    assert batch["type"] == "message_batch"
    assert batch["processing_status"] == "in_progress"
    assert batch["request_counts"] == {
        "processing": 2,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert batch["results_url"] is None


_GOOD = {"custom_id": "x", "params": params()}
_ID = "requests.0.custom_id"
_DUPLICATE = "requests: custom_id's must be unique within a batch. Duplicate custom_id found: x"


def _row(**changes: object) -> dict[str, Any]:
    return {"requests": [{**_GOOD, **changes}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"requests": [_GOOD, _GOOD]}, _DUPLICATE),
        ({"requests": [{"params": params()}]}, "requests.0.custom_id: Field required"),
        ({"requests": [_GOOD, {"custom_id": "y"}]}, "requests.1.params: Field required"),
        (_row(custom_id="a" * 65), f"{_ID}: String should have at most 64 characters"),
        (_row(custom_id="a b"), f"{_ID}: {_PATTERN}"),
        (_row(custom_id="a\n"), f"{_ID}: {_PATTERN}"),
        (_row(custom_id=""), f"{_ID}: {_PATTERN}"),
        (_row(custom_id=7), f"{_ID}: Input should be a valid string"),
        (_row(params=7), "requests.0.params: Input should be a valid dictionary"),
        (_row(name=7), "requests.0.name: Extra inputs are not permitted"),
        ({"requests": [7]}, "requests.0: Input should be a valid dictionary"),
        ({"requests": []}, "requests: List should have at least 1 item after validation, not 0"),
        ({"requests": {}}, "requests: Input should be a valid list"),
        ({"requests": [_GOOD], "metadata": {"a": [1]}}, "metadata: Extra inputs are not permitted"),
        ({"metadata": None, "requests": [_GOOD]}, "metadata: Extra inputs are not permitted"),
        ({}, "requests: Field required"),
        ([], "Input should be a valid dictionary"),
    ],
)
def test_a_body_with_a_mistake_is_refused_and_named(
    api: httpx.Client, emulator: Emulator, body: object, message: str
) -> None:
    assert error_of(api.post(BATCHES, json=body)) == (400, "invalid_request_error", message)
    assert emulator.batches() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"requests": [',
        b'{"requests": [{"custom_id": }]}',
        b'{"requests": [{}, ]}',
        b'{"requests": [{"a": 1} {"b": 2}]}',
        b'{"requests": [{"a": "\\ud800"}]}',
        b'{"requests": []} more',
        b'{"requests" []}',
        b'{"requests": [{}}',
        b'{"x": nonsense, "requests": []}',
        # A mistake in an early row does not hide that the bytes are not JSON.
        b'{"requests": [{}, {"custom_id": "a", "params": {]}]}',
    ],
)
def test_bytes_that_are_not_json_are_refused_as_such(api: httpx.Client, body: bytes) -> None:
    status, kind, message = error_of(api.post(BATCHES, content=body))
    assert (status, kind) == (400, "invalid_request_error")
    assert message.startswith("The request body is not valid JSON: ")


def test_a_body_that_is_too_large_is_refused_from_the_edge() -> None:
    with Emulator(maximum_bytes=1000) as emulator, client_of(emulator) as api:
        answer = api.post(BATCHES, json=requests(params("long " * 100_000)))
        assert error_of(answer) == (413, "request_too_large", "Request exceeds the maximum size")
        assert emulator.batches() == []


def test_more_requests_than_a_batch_holds_are_refused() -> None:
    with Emulator(maximum_requests=3) as emulator, client_of(emulator) as api:
        status, kind, message = error_of(api.post(BATCHES, json=requests(*[params()] * 4)))
        assert (status, kind) == (400, "invalid_request_error")
        assert message.startswith("requests: List should have at most 3 items after validation")


def test_a_queue_that_is_full_answers_429_and_says_when_to_come_back() -> None:
    with Emulator(queue_limit=3, clock="stepped") as emulator, client_of(emulator) as api:
        first = create(api, params(), params())
        answer = api.post(BATCHES, json=requests(params(), params()))
        assert error_of(answer)[:2] == (429, "rate_limit_error")
        assert int(answer.headers["retry-after"]) > 0
        emulator.end(first["id"])
        create(api, params(), params())


def test_calls_beyond_the_rate_answer_429_until_a_minute_has_passed() -> None:
    with Emulator(requests_per_minute=2, clock="stepped") as emulator, client_of(emulator) as api:
        assert [api.get(BATCHES).status_code for _ in range(3)] == [200, 200, 429]
        emulator.advance(61)
        assert api.get(BATCHES).status_code == 200


def test_a_client_that_leaves_while_it_sends_makes_no_batch(emulator: Emulator) -> None:
    class GoneError(Exception):
        pass

    def half() -> object:
        yield b'{"requests":[' + json.dumps(_GOOD).encode()
        raise GoneError

    with client_of(emulator) as api, pytest.raises(GoneError):
        api.post(BATCHES, content=half())
    assert emulator.batches() == []


def test_every_answer_has_a_request_id_of_its_own(api: httpx.Client) -> None:
    ids = {api.get(path).headers["request-id"] for path in (BATCHES, BATCHES, "/v1/nowhere")}
    assert len(ids) == 3
    assert all(each.startswith("req_") for each in ids)


def test_a_path_that_does_not_exist_is_a_404_of_the_api(api: httpx.Client) -> None:
    assert error_of(api.get("/v1/nowhere")) == (404, "not_found_error", "Not found")
    assert error_of(api.put(BATCHES))[0] == 405
