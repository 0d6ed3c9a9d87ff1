"""True answers that do not arrive as they are: cut, shortened, or with another address."""

from __future__ import annotations

import collections
import json
import urllib.request
from http.client import IncompleteRead

import anthropic
import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import BATCHES, HEADERS, create, lines_of, params, status_of

_ELSEWHERE = "http://192.0.2.1:9/x"


@pytest.fixture
def ended(emulator: Emulator, api: httpx.Client) -> str:
    """A batch of 300 rows, whose results take more than one piece."""
    batch_id: str = create(api, *[params(f"Question {n}?") for n in range(300)])["id"]
    emulator.end(batch_id)
    return batch_id


def _received(api: httpx.Client, path: str) -> bytes:
    """What came of a body that was cut."""
    received = bytearray()
    with api.stream("GET", path) as answer:
        pieces = answer.iter_raw()
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
            collections.deque(map(received.extend, pieces))
    return bytes(received)


@pytest.mark.parametrize("length", [0, 1, 1_000, 100_000, 10_000_000])
def test_cut_results_are_an_error_after_so_many_bytes(
    emulator: Emulator, api: httpx.Client, ended: str, length: int
) -> None:
    path = f"{BATCHES}/{ended}/results"
    whole = api.get(path).content
    emulator.plan({"on": "results", "cut_after": length})
    assert _received(api, path) == whole[:length]
    assert api.get(path).content == whole


def test_cut_results_are_an_error_for_another_client_too(emulator: Emulator, ended: str) -> None:
    emulator.plan({"on": "results", "cut_after": 5_000})
    request = urllib.request.Request(
        f"{emulator.base_url}{BATCHES}/{ended}/results", headers=HEADERS
    )
    with urllib.request.urlopen(request) as answer, pytest.raises(IncompleteRead):
        answer.read()


def test_any_answer_can_be_cut(emulator: Emulator, api: httpx.Client, ended: str) -> None:
    emulator.plan({"on": "retrieve", "cut_after": 10}, {"on": "retrieve", "cut_after": 100_000})
    assert _received(api, f"{BATCHES}/{ended}") == b'{"id":"msg'
    assert json.loads(_received(api, f"{BATCHES}/{ended}"))["id"] == ended


def test_a_create_whose_answer_is_cut_has_made_a_batch(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "create", "cut_after": 10})
    with pytest.raises(httpx.RemoteProtocolError):
        create(api)
    assert len(emulator.batches()) == 1


@pytest.mark.parametrize("length", [0, 1_000, 100_000, 10_000_000])
def test_truncated_results_end_as_if_complete(
    emulator: Emulator, api: httpx.Client, ended: str, length: int
) -> None:
    path = f"{BATCHES}/{ended}/results"
    whole = api.get(path).content
    emulator.plan({"on": "results", "truncate_after": length})
    assert api.get(path).content == whole[:length]
    assert api.get(path).content == whole


def test_an_answer_in_json_can_be_truncated(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    emulator.plan({"on": "retrieve", "truncate_after": 10})
    answer = api.get(f"{BATCHES}/{ended}")
    assert (answer.status_code, answer.content) == (200, b'{"id":"msg')


def test_the_sdk_sees_a_cut_as_an_error(emulator: Emulator, ended: str) -> None:
    emulator.plan({"on": "results", "cut_after": 100_000})
    with anthropic.Anthropic(base_url=emulator.base_url, api_key=emulator.api_key) as client:
        rows = client.messages.batches.results(ended)
        with pytest.raises(Exception, match="peer closed connection"):
            list(rows)


def test_results_can_be_said_to_be_elsewhere(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    emulator.plan({"on": "any", "results_url": _ELSEWHERE, "times": 3})
    assert len(lines_of(api, ended)) == 300, "a call without an address in its answer is not met"
    assert status_of(api, ended)["results_url"] == _ELSEWHERE
    assert [each["results_url"] for each in api.get(BATCHES).json()["data"]] == [_ELSEWHERE]
    assert create(api)["results_url"] == _ELSEWHERE
    assert status_of(api, ended)["results_url"].startswith(emulator.base_url)


def test_an_error_has_no_address_to_change(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "retrieve", "results_url": _ELSEWHERE})
    answer = api.get(f"{BATCHES}/msgbatch_unknown")
    assert answer.status_code == 404
    assert "192.0.2.1" not in json.dumps(answer.json())
