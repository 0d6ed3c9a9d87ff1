"""A batch over time: processing, ending, cancelling, expiring, being archived and deleted."""

from __future__ import annotations

import httpx
import pytest

from meshflow_prefect.emulator import Emulator, EmulatorError
from tests.emulator.wire import (
    BATCHES,
    client_of,
    create,
    error_of,
    lines_of,
    params,
    results_of,
    status_of,
)

_DAY = 24 * 3600
_TEN = [params(f"Question {n}?") for n in range(10)]


def test_a_batch_ends_when_its_time_has_come_and_not_before(
    emulator: Emulator, api: httpx.Client
) -> None:
    batch_id = create(api)["id"]
    emulator.advance(99)
    batch = status_of(api, batch_id)
    assert batch["processing_status"] == "in_progress"
    assert batch["ended_at"] is None
    emulator.advance(1)
    batch = status_of(api, batch_id)
    assert batch["processing_status"] == "ended"
    assert batch["ended_at"] is not None
    assert batch["request_counts"]["succeeded"] == 1
    assert batch["results_url"] == f"{emulator.base_url}{BATCHES}/{batch_id}/results"


def test_results_url_is_built_from_the_host_that_was_asked(
    emulator: Emulator, api: httpx.Client
) -> None:
    batch_id = create(api)["id"]
    emulator.end(batch_id)
    answer = api.get(f"{BATCHES}/{batch_id}", headers={"host": "localhost:1234"})
    assert answer.json()["results_url"].startswith("http://localhost:1234/v1/")


def test_retry_after_comes_with_a_batch_in_progress_only(
    emulator: Emulator, api: httpx.Client
) -> None:
    batch_id = create(api)["id"]
    assert api.get(f"{BATCHES}/{batch_id}").headers["retry-after"] == "10"
    emulator.end(batch_id)
    assert "retry-after" not in api.get(f"{BATCHES}/{batch_id}").headers


def test_retry_after_can_be_switched_off() -> None:
    with Emulator(retry_after=None) as emulator, client_of(emulator) as api:
        batch_id = create(api)["id"]
        assert "retry-after" not in api.get(f"{BATCHES}/{batch_id}").headers


def test_counts_stay_in_processing_until_the_end(emulator: Emulator, api: httpx.Client) -> None:
    batch_id = create(api, *_TEN)["id"]
    emulator.advance(50)
    assert status_of(api, batch_id)["request_counts"]["processing"] == 10


def test_counts_can_be_switched_to_move_one_by_one() -> None:
    rows = [*_TEN[:9], params(model="no-such-model")]
    with (
        Emulator(clock="stepped", batch_seconds=100, counts="moving") as emulator,
        client_of(emulator) as api,
    ):
        batch_id = create(api, *rows)["id"]
        emulator.advance(30)
        counts = status_of(api, batch_id)["request_counts"]
        assert counts["processing"] == 7
        assert counts["succeeded"] + counts["errored"] == 3
        emulator.advance(70)
        counts = status_of(api, batch_id)["request_counts"]
        assert (counts["processing"], counts["succeeded"], counts["errored"]) == (0, 9, 1)


def test_results_are_not_there_before_the_end(api: httpx.Client) -> None:
    batch_id = create(api)["id"]
    assert error_of(api.get(f"{BATCHES}/{batch_id}/results")) == (
        404,
        "not_found_error",
        f"Message Batch {batch_id} has no available results.",
    )


def test_results_come_in_an_order_that_is_shuffled_and_always_the_same(
    emulator: Emulator, api: httpx.Client
) -> None:
    orders = []
    for _ in range(2):
        batch_id = create(api, *_TEN)["id"]
        emulator.end(batch_id)
        orders.append([row["custom_id"] for row in lines_of(api, batch_id)])
    given = [f"row-{n}" for n in range(10)]
    assert orders[0] == orders[1] != given
    assert sorted(orders[0]) == given


@pytest.mark.parametrize("size", [2, 3])
def test_even_a_tiny_batch_is_shuffled(emulator: Emulator, api: httpx.Client, size: int) -> None:
    batch_id = create(api, *_TEN[:size])["id"]
    emulator.end(batch_id)
    order = [row["custom_id"] for row in lines_of(api, batch_id)]
    assert order != sorted(order)


def test_results_are_jsonl_of_the_media_type_of_the_api(
    emulator: Emulator, api: httpx.Client
) -> None:
    batch_id = create(api, params("Separators \u2028 and \x85 stay in the line."))["id"]
    emulator.end(batch_id)
    answer = api.get(f"{BATCHES}/{batch_id}/results")
    assert answer.headers["content-type"].startswith("application/x-jsonl")
    assert answer.content.endswith(b"}\n")
    assert answer.content.count(b"\n") == 1


def test_a_cancelled_batch_is_canceling_first_and_ended_some_moments_later(
    emulator: Emulator, api: httpx.Client
) -> None:
    batch_id = create(api, *_TEN)["id"]
    emulator.advance(40)
    batch = api.post(f"{BATCHES}/{batch_id}/cancel").json()
    assert batch["processing_status"] == "canceling"
    assert batch["cancel_initiated_at"] is not None
    assert batch["request_counts"]["processing"] == 10
    emulator.advance(9)
    assert api.post(f"{BATCHES}/{batch_id}/cancel").json() == batch, "twice is once"
    emulator.advance(1)
    batch = status_of(api, batch_id)
    assert batch["processing_status"] == "ended"
    assert (batch["request_counts"]["succeeded"], batch["request_counts"]["canceled"]) == (4, 6)
    kinds = [result["type"] for result in results_of(api, batch_id).values()]
    assert (kinds.count("succeeded"), kinds.count("canceled")) == (4, 6)


def test_a_canceled_row_says_nothing_but_that(emulator: Emulator, api: httpx.Client) -> None:
    batch_id = create(api)["id"]
    api.post(f"{BATCHES}/{batch_id}/cancel")
    emulator.advance(10)
    assert results_of(api, batch_id) == {"row-0": {"type": "canceled"}}


def test_a_batch_that_has_ended_cannot_be_cancelled(emulator: Emulator, api: httpx.Client) -> None:
    batch_id = create(api)["id"]
    emulator.end(batch_id)
    status, kind, message = error_of(api.post(f"{BATCHES}/{batch_id}/cancel"))
    assert (status, kind) == (400, "invalid_request_error")
    assert "already ended" in message


def test_rows_that_are_not_answered_within_a_day_expire() -> None:
    with (
        Emulator(clock="stepped", batch_seconds=2 * _DAY) as emulator,
        client_of(emulator) as api,
    ):
        batch_id = create(api, *_TEN)["id"]
        emulator.advance(_DAY)
        batch = status_of(api, batch_id)
        assert batch["processing_status"] == "ended"
        assert batch["ended_at"] == batch["expires_at"]
        assert (batch["request_counts"]["succeeded"], batch["request_counts"]["expired"]) == (5, 5)
        kinds = [result["type"] for result in results_of(api, batch_id).values()]
        assert (kinds.count("succeeded"), kinds.count("expired")) == (5, 5)


def test_results_are_gone_after_29_days(emulator: Emulator, api: httpx.Client) -> None:
    batch_id = create(api)["id"]
    emulator.advance(29 * _DAY - 1)
    assert len(lines_of(api, batch_id)) == 1
    assert status_of(api, batch_id)["archived_at"] is None
    emulator.advance(1)
    assert status_of(api, batch_id)["archived_at"] is not None
    answer = api.get(f"{BATCHES}/{batch_id}/results")
    assert error_of(answer)[2] == f"Message Batch {batch_id} has no available results."


def test_a_batch_is_deleted_once_it_has_ended(emulator: Emulator, api: httpx.Client) -> None:
    batch_id = create(api)["id"]
    assert error_of(api.delete(f"{BATCHES}/{batch_id}"))[:2] == (400, "invalid_request_error")
    emulator.end(batch_id)
    answer = api.delete(f"{BATCHES}/{batch_id}")
    assert answer.json() == {"id": batch_id, "type": "message_batch_deleted"}
    assert api.get(f"{BATCHES}/{batch_id}").status_code == 404
    assert api.get(BATCHES).json()["data"] == []


@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")],
)
def test_an_unknown_batch_is_a_404(api: httpx.Client, method: str, rest: str) -> None:
    answer = api.request(method, f"{BATCHES}/msgbatch_unknown{rest}")
    assert error_of(answer)[:2] == (404, "not_found_error")


def test_a_fast_clock_makes_a_long_batch_short() -> None:
    with Emulator(batch_seconds=3600, speed=1_000_000) as emulator, client_of(emulator) as api:
        batch_id = create(api)["id"]
        while status_of(api, batch_id)["processing_status"] != "ended":
            pass
        assert len(lines_of(api, batch_id)) == 1


def test_time_moves_forward_only(emulator: Emulator) -> None:
    before = emulator.state()["clock"]["now"]
    assert emulator.state()["clock"]["now"] == before
    assert emulator.advance(60)["clock"]["now"] > before
    with pytest.raises(EmulatorError, match="cannot advance by -1"):
        emulator.advance(-1)
    with pytest.raises(EmulatorError, match="not found"):
        emulator.end("msgbatch_unknown")


@pytest.mark.parametrize(
    "body", [{"advance": 1e18}, {"advance": "5"}, {"advance": True}, {"advance": 1, "x": 2}, []]
)
def test_what_is_no_time_leaves_the_emulator_as_it_was(
    emulator: Emulator, api: httpx.Client, body: object
) -> None:
    before = emulator.state()
    refused = api.post("/emulator/clock", json=body)
    assert refused.status_code == 400
    assert '{"advance": seconds}' in refused.json()["error"]["message"]
    assert emulator.state() == before


def test_a_reset_forgets_batches_and_calls(emulator: Emulator, api: httpx.Client) -> None:
    create(api)
    emulator.reset()
    assert emulator.batches() == []
    assert emulator.calls() == []
    assert emulator.state()["calls"] == {}
