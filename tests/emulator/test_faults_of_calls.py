"""Planned answers: errors, lost answers, and which calls meet them."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import BATCHES, create, error_of, params, requests, status_of


def _create(api: httpx.Client) -> httpx.Response:
    return api.post(BATCHES, json=requests(params()))


def test_an_error_is_answered_and_nothing_is_carried_out(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "create", "status": 500})
    assert error_of(_create(api)) == (500, "api_error", "Internal server error")
    assert emulator.batches() == []


def test_an_error_can_hide_a_call_that_was_carried_out(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "create", "status": 500, "accept": True})
    assert error_of(_create(api))[0] == 500
    assert [batch["requests"] for batch in emulator.batches()] == [1]


def test_an_error_comes_after_a_large_body_has_been_read(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "create", "status": 429, "headers": {"retry-after": "7"}})
    answer = api.post(BATCHES, json=requests(params("long " * 1_000_000)))
    assert error_of(answer)[:2] == (429, "rate_limit_error")
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_a_status_has_the_type_of_error_that_the_api_has_for_it(
    emulator: Emulator, api: httpx.Client, status: int, kind: str
) -> None:
    emulator.plan({"on": "list", "status": status})
    assert error_of(api.get(BATCHES))[:2] == (status, kind)


def test_an_error_can_be_worded(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan(
        {
            "on": "list",
            "status": 403,
            "error": "no_such_error",
            "message": "Not today",
            "details": {"error_code": "moon"},
        }
    )
    answer = api.get(BATCHES)
    assert error_of(answer) == (403, "no_such_error", "Not today")
    assert answer.json()["error"]["details"] == {"error_code": "moon"}


def test_a_dropped_call_has_no_answer_and_makes_no_batch(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "create", "drop": True})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        _create(api)
    assert emulator.batches() == []
    assert _create(api).status_code == 200


def test_the_answer_alone_can_be_dropped(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "create", "drop": True, "accept": True})
    with pytest.raises(httpx.RemoteProtocolError):
        _create(api)
    assert len(emulator.batches()) == 1


def test_faults_wait_for_their_call_and_apply_so_many_times(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "list", "status": 500, "skip": 1, "times": 2})
    _create(api)
    assert [api.get(BATCHES).status_code for _ in range(4)] == [200, 500, 500, 200]


def test_a_fault_can_last_until_the_plan_is_cleared(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "list", "status": 500, "times": None})
    assert [api.get(BATCHES).status_code for _ in range(3)] == [500, 500, 500]
    emulator.clear_faults()
    assert api.get(BATCHES).status_code == 200
    assert emulator.faults() == []


def test_faults_of_one_call_follow_each_other(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "list", "status": 500}, {"on": "any", "status": 529})
    emulator.plan({"on": "list", "status": 504})
    assert [api.get(BATCHES).status_code for _ in range(4)] == [500, 529, 504, 200]


def test_a_fault_can_be_about_one_batch(emulator: Emulator, api: httpx.Client) -> None:
    first, second = create(api)["id"], create(api)["id"]
    emulator.plan({"on": "any", "batch_id": second, "status": 500})
    assert api.get(BATCHES).status_code == 200
    assert api.get(f"{BATCHES}/{first}").status_code == 200
    assert api.get(f"{BATCHES}/{second}").status_code == 500


@pytest.mark.parametrize(
    ("on", "method", "path"),
    [
        ("create", "POST", BATCHES),
        ("list", "GET", BATCHES),
        ("retrieve", "GET", f"{BATCHES}/x"),
        ("results", "GET", f"{BATCHES}/x/results"),
        ("cancel", "POST", f"{BATCHES}/x/cancel"),
        ("delete", "DELETE", f"{BATCHES}/x"),
        ("messages", "POST", "/v1/messages"),
        ("count_tokens", "POST", "/v1/messages/count_tokens"),
    ],
)
def test_every_call_has_a_name(
    emulator: Emulator, api: httpx.Client, on: str, method: str, path: str
) -> None:
    emulator.plan({"on": on, "status": 529})
    others = [("GET", "/v1/models"), ("GET", "/emulator/state")]
    assert [api.request(*other).status_code for other in others] == [404, 200]
    assert api.request(method, path).status_code == 529


def test_the_plan_shows_what_was_told_and_how_often_it_fired(
    emulator: Emulator, api: httpx.Client
) -> None:
    told: list[dict[str, Any]] = [{"on": "list", "status": 500}, {"on": "cancel", "drop": True}]
    assert emulator.plan(*told) == [{**fault, "fired": 0, "held": 0} for fault in told]
    api.get(BATCHES)
    assert [fault["fired"] for fault in emulator.faults()] == [1, 0]


def test_every_call_with_a_fault_is_in_the_log_with_what_the_client_saw(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan(
        {"on": "create", "status": 529, "accept": True},
        {"on": "list", "drop": True},
        {"on": "list", "cut_after": 0},
    )
    assert _create(api).status_code == 529
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            api.get(BATCHES)
    assert [call["status"] for call in emulator.calls()] == [529, 0, 200]
    assert emulator.calls()[1]["endpoint"] == f"GET {BATCHES}"


def test_a_reset_forgets_the_plan(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "any", "status": 500, "times": None}, {"on": "rows", "damage": "forget"})
    emulator.reset()
    assert emulator.faults() == []
    assert status_of(api, create(api)["id"])["request_counts"]["processing"] == 1


def test_the_sdk_repeats_a_create_whose_answer_was_lost_and_makes_two_batches(
    emulator: Emulator,
) -> None:
    emulator.plan({"on": "create", "drop": True, "accept": True})
    with anthropic.Anthropic(base_url=emulator.base_url, api_key=emulator.api_key) as client:
        client.messages.batches.create(**requests(params()))
    assert len(emulator.batches()) == 2


def test_the_sdk_has_an_exception_for_a_planned_error(emulator: Emulator) -> None:
    emulator.plan({"on": "list", "status": 429, "message": "Slow down"})
    with (
        anthropic.Anthropic(
            base_url=emulator.base_url, api_key=emulator.api_key, max_retries=0
        ) as client,
        pytest.raises(anthropic.RateLimitError, match="Slow down") as caught,
    ):
        client.messages.batches.list()
    assert caught.value.request_id == emulator.calls()[-1]["request_id"]
