"""Planned outcomes of rows: decided when a batch is made, and part of it from then on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import (
    BATCHES,
    client_of,
    create,
    lines_of,
    params,
    requests,
    results_of,
    status_of,
)

_TEN = [params(f"Question {n}?") for n in range(10)]


def _outcomes(emulator: Emulator, api: httpx.Client, *rows: dict[str, Any]) -> dict[str, str]:
    """The types of the results of a new batch, by custom id, without those that succeeded."""
    batch_id = create(api, *(rows or _TEN))["id"]
    emulator.end(batch_id)
    results = results_of(api, batch_id)
    types = {custom_id: result["type"] for custom_id, result in results.items()}
    counts = status_of(api, batch_id)["request_counts"]
    assert {kind: count for kind, count in counts.items() if count} == Counter(types.values())
    return {custom_id: kind for custom_id, kind in types.items() if kind != "succeeded"}


@pytest.mark.parametrize("outcome", ["errored", "expired", "canceled"])
def test_rows_have_the_planned_outcome_and_are_counted_so(
    emulator: Emulator, api: httpx.Client, outcome: str
) -> None:
    emulator.plan({"on": "rows", "custom_id": "row-[37]", "outcome": outcome})
    assert _outcomes(emulator, api) == {"row-3": outcome, "row-7": outcome}


def test_the_same_rows_succeed_in_the_next_batch(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "rows", "custom_id": "row-3", "outcome": "errored"})
    assert _outcomes(emulator, api) == {"row-3": "errored"}
    assert _outcomes(emulator, api) == {}
    assert emulator.faults()[0]["fired"] == 1


def test_an_outcome_can_last_for_more_batches(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan(
        {"on": "rows", "custom_id": "row-3", "outcome": "errored", "batches": 2},
        {"on": "rows", "custom_id": "row-4", "outcome": "expired", "batches": None},
    )
    found = [sorted(_outcomes(emulator, api)) for _ in range(3)]
    assert found == [["row-3", "row-4"], ["row-3", "row-4"], ["row-4"]]


def test_rows_can_be_answered_with_a_planned_text_and_are_billed_for_it(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "rows", "custom_id": "row-[37]", "outcome": "succeeded", "text": "No."})
    batch_id = create(api, *_TEN)["id"]
    emulator.end(batch_id)
    replies = {
        custom_id: result["message"]["content"][0]["text"]
        for custom_id, result in results_of(api, batch_id).items()
    }
    assert sorted(custom_id for custom_id, text in replies.items() if text == "No.") == [
        "row-3",
        "row-7",
    ]
    assert status_of(api, batch_id)["request_counts"]["succeeded"] == 10
    assert emulator.spend()[params()["model"]]["requests"] == 10
    assert _outcomes(emulator, api) == {}
    assert emulator.faults()[0]["fired"] == 1


def test_a_request_that_is_not_valid_does_not_succeed_by_a_plan(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "rows", "outcome": "succeeded", "text": "No."})
    assert _outcomes(emulator, api, params(), params(model="none")) == {"row-1": "errored"}


def test_a_batch_without_such_rows_does_not_use_an_outcome_up(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "rows", "custom_id": "row-3", "outcome": "errored"})
    assert _outcomes(emulator, api, params()) == {}
    assert _outcomes(emulator, api) == {"row-3": "errored"}


def test_a_refused_create_does_not_use_an_outcome_up(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "rows", "custom_id": "row-3", "outcome": "errored"})
    body = requests(*_TEN)
    body["requests"].append(body["requests"][0])
    assert api.post(BATCHES, json=body).status_code == 400
    assert emulator.faults()[0]["fired"] == 0
    assert _outcomes(emulator, api) == {"row-3": "errored"}


def test_every_nth_row_is_meant(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "rows", "every": 4, "outcome": "expired"})
    assert _outcomes(emulator, api) == {"row-3": "expired", "row-7": "expired"}


def test_a_share_of_the_rows_is_chosen_by_their_ids_and_a_seed(
    emulator: Emulator, api: httpx.Client
) -> None:
    rows = [params()] * 1_000
    fault = {"on": "rows", "share": 0.1, "outcome": "errored"}
    found = []
    for seed in (0, 0, 7):
        emulator.plan({**fault, "seed": seed})
        found.append(_outcomes(emulator, api, *rows))
    assert 50 < len(found[0]) < 150
    assert found[0] == found[1] != found[2]


def test_without_a_choice_every_row_is_meant(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "rows", "outcome": "canceled"})
    assert len(_outcomes(emulator, api)) == 10


def test_the_first_fault_that_means_a_row_has_it(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan(
        {"on": "rows", "custom_id": "row-3", "outcome": "expired"},
        {"on": "rows", "every": 2, "outcome": "errored"},
    )
    found = _outcomes(emulator, api)
    assert found.pop("row-3") == "expired"
    assert found == dict.fromkeys(("row-1", "row-5", "row-7", "row-9"), "errored")


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({}, {"type": "api_error", "message": "Internal server error"}),
        ({"error": "overloaded_error"}, {"type": "overloaded_error", "message": "Overloaded"}),
        (
            {"error": "invalid_request_error", "message": "too long"},
            {"type": "invalid_request_error", "message": "too long"},
        ),
    ],
)
def test_an_errored_row_has_the_planned_error(
    emulator: Emulator, api: httpx.Client, told: dict[str, str], error: dict[str, str]
) -> None:
    emulator.plan({"on": "rows", "outcome": "errored", **told})
    batch_id = create(api)["id"]
    emulator.end(batch_id)
    assert results_of(api, batch_id)["row-0"] == {
        "type": "errored",
        "error": {"type": "error", "error": error, "request_id": None},
    }


def test_rows_with_a_planned_outcome_are_not_billed(emulator: Emulator, api: httpx.Client) -> None:
    emulator.plan({"on": "rows", "every": 5, "outcome": "errored"})
    _outcomes(emulator, api)
    assert [spend["requests"] for spend in emulator.spend().values()] == [8]


def test_a_planned_outcome_takes_the_place_of_a_mistake(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "rows", "outcome": "expired"})
    assert _outcomes(emulator, api, params(model="x")) == {"row-0": "expired"}


def test_rows_that_were_not_answered_have_no_planned_outcome(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan({"on": "rows", "outcome": "errored"})
    batch_id = create(api, *_TEN)["id"]
    emulator.advance(50)
    api.post(f"{BATCHES}/{batch_id}/cancel")
    emulator.advance(10)
    counts = status_of(api, batch_id)["request_counts"]
    assert (counts["errored"], counts["canceled"], counts["succeeded"]) == (5, 5, 0)
    types = [row["result"]["type"] for row in lines_of(api, batch_id)]
    assert (types.count("errored"), types.count("canceled")) == (5, 5)


def test_counts_that_move_know_planned_outcomes() -> None:
    with (
        Emulator(clock="stepped", batch_seconds=100, counts="moving") as emulator,
        client_of(emulator) as api,
    ):
        emulator.plan({"on": "rows", "outcome": "expired"})
        batch_id = create(api, *_TEN)["id"]
        emulator.advance(30)
        counts = status_of(api, batch_id)["request_counts"]
        assert (counts["processing"], counts["expired"]) == (7, 3)


def test_planned_outcomes_survive_a_restart_and_the_end_of_the_plan(tmp_path: Path) -> None:
    with Emulator(directory=tmp_path, clock="stepped") as emulator, client_of(emulator) as api:
        emulator.plan({"on": "rows", "every": 3, "outcome": "errored", "message": "planned"})
        batch_id = create(api, *_TEN)["id"]
        emulator.end(batch_id)
        emulator.clear_faults()
        before = lines_of(api, batch_id)
    with Emulator(directory=tmp_path, clock="stepped") as emulator, client_of(emulator) as api:
        assert lines_of(api, batch_id) == before
        assert status_of(api, batch_id)["request_counts"]["errored"] == 3
