"""Calls that are late, calls that are held, and an API that is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection

import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import (
    BATCHES,
    HEADERS,
    client_of,
    create,
    error_of,
    lines_of,
    params,
    requests,
)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Where a call waits while the test goes on."""
    with ThreadPoolExecutor() as pool:
        yield pool


def _until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def _is_held(emulator: Emulator) -> bool:
    return emulator.faults()[0]["held"] == 1


def _started(
    aside: ThreadPoolExecutor, emulator: Emulator, api: httpx.Client
) -> Future[httpx.Response]:
    """Start a create, which the first fault of the plan holds."""
    call = aside.submit(api.post, BATCHES, json=requests(params("long " * 500_000)))
    _until(lambda: _is_held(emulator))
    return call


def _leaves(emulator: Emulator, method: str, path: str, body: object = None) -> None:
    """Make a call that waits, and leave."""
    connection = HTTPConnection(emulator.base_url.removeprefix("http://"))
    connection.request(method, path, json.dumps(body), HEADERS)
    holds = "hold" in emulator.faults()[0]
    _until(lambda: _is_held(emulator) if holds else emulator.faults()[0]["fired"] == 1)
    connection.close()
    _until(lambda: [call["status"] for call in emulator.calls(1)] == [499])


def test_a_call_is_delayed(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "create", "delay": 0.3})
    before = time.monotonic()
    create(api)
    assert time.monotonic() - before >= 0.3


def test_an_error_can_be_late(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "list", "delay": 0.2, "status": 500})
    before = time.monotonic()
    assert error_of(api.get(BATCHES))[0] == 500
    assert time.monotonic() - before >= 0.2


def test_a_call_whose_client_leaves_during_a_delay_is_not_carried_out(emulator: Emulator) -> None:
    emulator.plan({"on": "create", "delay": 60})
    _leaves(emulator, "POST", BATCHES, requests(params()))
    assert emulator.batches() == []


def test_a_call_that_is_held_before_is_carried_out_when_it_is_released(
    emulator: Emulator, api: httpx.Client, aside: ThreadPoolExecutor
) -> None:
    emulator.plan({"on": "create", "hold": "before"})
    call = _started(aside, emulator, api)
    assert emulator.batches() == []
    assert emulator.release() == 1
    assert call.result().status_code == 200
    assert len(emulator.batches()) == 1
    assert emulator.faults()[0]["held"] == 0


def test_a_call_that_is_held_after_has_been_carried_out(
    emulator: Emulator, api: httpx.Client, aside: ThreadPoolExecutor
) -> None:
    emulator.plan({"on": "create", "hold": "after"})
    call = _started(aside, emulator, api)
    assert len(emulator.batches()) == 1
    assert not call.done()
    emulator.release()
    assert call.result().json()["id"] == emulator.batches()[0]["id"]


def test_a_call_whose_client_leaves_while_it_is_held_before_is_not_carried_out(
    emulator: Emulator,
) -> None:
    emulator.plan({"on": "create", "hold": "before"})
    _leaves(emulator, "POST", BATCHES, requests(params()))
    assert emulator.batches() == []
    assert emulator.release() == 0


def test_a_call_whose_client_leaves_while_it_is_held_after_stays_carried_out(
    emulator: Emulator,
) -> None:
    emulator.plan({"on": "create", "hold": "after"})
    _leaves(emulator, "POST", BATCHES, requests(params()))
    assert len(emulator.batches()) == 1


def test_held_results_whose_client_leaves_are_in_the_log_too(
    emulator: Emulator, api: httpx.Client
) -> None:
    batch_id = create(api)["id"]
    emulator.end(batch_id)
    emulator.plan({"on": "results", "hold": "after"})
    _leaves(emulator, "GET", f"{BATCHES}/{batch_id}/results")
    assert len(lines_of(api, batch_id)) == 1


def test_held_results_come_whole_when_they_are_released(
    emulator: Emulator, api: httpx.Client, aside: ThreadPoolExecutor
) -> None:
    batch_id = create(api, *[params()] * 300)["id"]
    emulator.end(batch_id)
    emulator.plan({"on": "results", "hold": "after"})
    lines = aside.submit(lines_of, api, batch_id)
    _until(lambda: _is_held(emulator))
    emulator.release()
    assert len(lines.result()) == 300


def test_an_answer_can_be_held_and_then_lost(
    emulator: Emulator, api: httpx.Client, aside: ThreadPoolExecutor
) -> None:
    emulator.plan({"on": "create", "hold": "after", "accept": True, "drop": True})
    call = _started(aside, emulator, api)
    assert len(emulator.batches()) == 1
    emulator.release()
    with pytest.raises(httpx.RemoteProtocolError):
        call.result()


def test_an_error_can_be_held(
    emulator: Emulator, api: httpx.Client, aside: ThreadPoolExecutor
) -> None:
    emulator.plan({"on": "create", "hold": "before", "status": 529})
    call = _started(aside, emulator, api)
    emulator.release()
    assert call.result().status_code == 529
    assert emulator.batches() == []


def test_clearing_the_plan_lets_held_calls_go_on(
    emulator: Emulator, api: httpx.Client, aside: ThreadPoolExecutor
) -> None:
    emulator.plan({"on": "create", "hold": "before"})
    call = _started(aside, emulator, api)
    emulator.clear_faults()
    assert call.result().status_code == 200


def test_a_reset_breaks_held_calls_off_and_knows_nothing_of_them(
    emulator: Emulator, api: httpx.Client, aside: ThreadPoolExecutor
) -> None:
    emulator.plan({"on": "create", "hold": "before"})
    call = _started(aside, emulator, api)
    emulator.reset()
    with pytest.raises(httpx.RemoteProtocolError):
        call.result()
    assert emulator.batches() == []
    assert emulator.calls() == []


def test_an_emulator_stops_while_it_holds_calls(aside: ThreadPoolExecutor) -> None:
    with Emulator() as emulator, client_of(emulator) as api:
        emulator.plan({"on": "create", "hold": "before"})
        call = _started(aside, emulator, api)
        emulator.stop()
        with pytest.raises(httpx.RemoteProtocolError):
            call.result()


def test_an_api_that_is_away_answers_nothing_until_its_clock_has_moved_on(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.go_away(60)
    for advanced in (0, 59):
        emulator.advance(advanced)
        with pytest.raises(httpx.RemoteProtocolError):
            create(api)
    emulator.advance(1)
    create(api)
    assert [call["status"] for call in emulator.calls()] == [0, 0, 200]


def test_an_api_that_is_away_can_say_so(emulator: Emulator, api: httpx.Client) -> None:
    emulator.go_away(60, how="status")
    assert [error_of(api.get(path))[:2] for path in (BATCHES, f"{BATCHES}/x")] == [
        (503, "api_error"),
        (503, "api_error"),
    ]
    emulator.advance(60)
    assert api.get(BATCHES).status_code == 200


def test_being_away_uses_up_no_other_fault(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan(
        {"on": "list", "status": 500},
        {"on": "any", "away": 60, "how": "status", "status": 502},
    )
    assert api.get(BATCHES).status_code == 502
    emulator.advance(60)
    assert [api.get(BATCHES).status_code for _ in range(2)] == [500, 200]


def test_a_fast_clock_soon_brings_an_api_back() -> None:
    with Emulator(speed=10_000) as emulator, client_of(emulator) as api:
        emulator.go_away(3_600, how="status")
        assert api.get(BATCHES).status_code == 503
        _until(lambda: api.get(BATCHES).status_code == 200)
