"""A plan that cannot be meant so is refused, and the field is named."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from meshflow_prefect.emulator import Emulator, EmulatorError

_ROWS = {"on": "rows", "outcome": "errored"}
_DAMAGE = {"on": "rows", "damage": "forget"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({}, "faults.0.on: Field required"),
        ({"on": "moon", "drop": True}, "faults.0.on: must be one of any, cancel, count_tokens, "),
        ({"on": ["list"], "drop": True}, "faults.0.on: must be one of"),
        ({"on": "list"}, "faults.0.on: nothing is to happen"),
        ({"on": "list", "drop": False}, "faults.0.on: nothing is to happen"),
        ({"on": "list", "drop": 1}, "faults.0.drop: must be true or false, not 1"),
        ({"on": "list", "wisdom": 1, "drop": True}, "faults.0.wisdom: is not a field of a fault"),
        ({"on": "list", "drop": True, "outcome": "errored"}, "faults.0.outcome: is not a field"),
        ({"on": "list", "status": "500"}, "faults.0.status: must be a whole number"),
        ({"on": "list", "status": True}, "faults.0.status: must be a whole number"),
        ({"on": "list", "status": 200}, "faults.0.status: must be a whole number of at least 400"),
        ({"on": "list", "status": 600}, "faults.0.status: must be a whole number of at least 400"),
        ({"on": "list", "status": 500, "error": 7}, "faults.0.error: must be a text"),
        ({"on": "list", "status": 500, "message": ""}, "faults.0.message: must be a text"),
        ({"on": "list", "status": 500, "details": []}, "faults.0.details: must be a JSON object"),
        ({"on": "list", "status": 500, "headers": 7}, "faults.0.headers: must be a JSON object"),
        ({"on": "list", "status": 500, "headers": {"a b": "x"}}, "faults.0.headers: 'a b' is not"),
        ({"on": "list", "status": 500, "headers": {"a": "x\ny"}}, "faults.0.headers: a must be"),
        (
            {"on": "list", "status": 500, "headers": {"Content-Length": "1"}},
            "faults.0.headers: 'Content-Length' is not a header that can be chosen",
        ),
        ({"on": "list", "drop": True, "error": "x"}, "faults.0.error: needs status"),
        ({"on": "list", "drop": True, "headers": {}}, "faults.0.headers: needs status"),
        ({"on": "list", "drop": True, "skip": -1}, "faults.0.skip: must be a whole number"),
        ({"on": "list", "drop": True, "times": 0}, "faults.0.times: must be a whole number"),
        ({"on": "list", "drop": True, "batch_id": "x"}, "faults.0.batch_id: a call of 'list'"),
        ({"on": "any", "drop": True, "batch_id": 7}, "faults.0.batch_id: must be a text"),
        (
            {"on": "list", "drop": True, "status": 500},
            "faults.0.drop: cannot be used together with status",
        ),
        (
            {"on": "list", "cut_after": 0, "truncate_after": 0},
            "faults.0.truncate_after: cannot be used together with cut_after",
        ),
        (
            {"on": "list", "status": 500, "results_url": "http://x"},
            "faults.0.results_url: cannot be used together with status",
        ),
        ({"on": "list", "cut_after": -1}, "faults.0.cut_after: must be a whole number"),
        ({"on": "list", "cut_after": None}, "faults.0.cut_after: must be a whole number"),
        ({"on": "list", "truncate_after": 1.5}, "faults.0.truncate_after: must be a whole number"),
        ({"on": "list", "results_url": "x"}, "faults.0.results_url: must begin with http"),
        ({"on": "results", "results_url": "http://x"}, "faults.0.results_url: an answer to"),
        ({"on": "list", "accept": True}, "faults.0.accept: needs status or drop"),
        ({"on": "list", "delay": -1}, "faults.0.delay: must be a number"),
        ({"on": "list", "delay": "1"}, "faults.0.delay: must be a number"),
        ({"on": "list", "hold": "tight"}, "faults.0.hold: must be one of after, before"),
        ({"on": "list", "hold": "after", "drop": True}, "faults.0.hold: 'after' needs"),
        ({"on": "any", "away": "long"}, "faults.0.away: must be a number"),
        ({"on": "any", "away": 1, "how": "far"}, "faults.0.how: must be one of drop, status"),
        ({"on": "any", "away": 1, "status": 503}, "faults.0.status: needs how to be 'status'"),
        ({"on": "any", "away": 1, "times": 1}, "faults.0.times: is not a field of an API that is"),
        ({"on": "any", "how": "drop", "drop": True}, "faults.0.how: is not a field"),
        ({"on": "rows"}, "faults.0.on: a fault of rows needs outcome or damage"),
        ({**_ROWS, **_DAMAGE}, "faults.0.damage: cannot be used together with outcome"),
        ({**_ROWS, "outcome": "lost"}, "faults.0.outcome: must be one of canceled"),
        ({**_ROWS, "outcome": "succeeded"}, "faults.0.text: Field required"),
        ({**_ROWS, "outcome": "expired", "text": "x"}, "faults.0.text: is not a field of"),
        ({**_ROWS, "outcome": "expired", "error": "x"}, "faults.0.error: is not a field of"),
        ({**_ROWS, "custom_id": 7}, "faults.0.custom_id: must be a text"),
        ({**_ROWS, "every": 0}, "faults.0.every: must be a whole number of at least 1"),
        ({**_ROWS, "share": 2}, "faults.0.share: must be a number of at least 0 and at most 1"),
        ({**_ROWS, "seed": 1}, "faults.0.seed: needs share"),
        ({**_ROWS, "batches": 0}, "faults.0.batches: must be a whole number of at least 1"),
        ({**_ROWS, "times": 1}, "faults.0.times: is not a field of the outcome 'errored'"),
        ({**_ROWS, "batch_id": "x"}, "faults.0.batch_id: is not a field of the outcome"),
        (
            {**_ROWS, "custom_id": "x", "every": 2},
            "faults.0.every: cannot be used together with custom_id",
        ),
        ({**_DAMAGE, "damage": "break"}, "faults.0.damage: must be one of corrupt, forget"),
        ({**_DAMAGE, "share": 0.1}, "faults.0.share: is not a field of damage to rows"),
        ({**_DAMAGE, "batches": 1}, "faults.0.batches: is not a field of damage to rows"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_by_the_name_of_its_field(
    emulator: Emulator, fault: dict[str, Any], said: str
) -> None:
    with pytest.raises(EmulatorError, match=f"400 .*{re.escape(said)}"):
        emulator.plan(fault)
    assert emulator.faults() == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is not valid JSON"),
        (b"[]", 'the body must be {"faults": [...]}'),
        (b"{}", 'the body must be {"faults": [...]}'),
        (b'{"faults": [], "more": 1}', 'the body must be {"faults": [...]}'),
        (b'{"faults": 1}', "faults: must be a list"),
        (b'{"faults": [7]}', "faults.0: must be a JSON object, not 7"),
    ],
)
def test_a_body_that_is_no_plan_is_refused(api: httpx.Client, body: bytes, said: str) -> None:
    answer = api.post("/emulator/faults", content=body)
    assert _message_of(answer).startswith(said)


def _message_of(answer: httpx.Response) -> str:
    assert answer.status_code == 400
    message: str = answer.json()["error"]["message"]
    return message


def test_one_bad_fault_refuses_the_others_with_it(emulator: Emulator) -> None:
    with pytest.raises(EmulatorError, match=re.escape("faults.1.on")):
        emulator.plan({"on": "list", "drop": True}, {"on": "moon"})
    assert emulator.faults() == []


def test_a_plan_has_an_end(emulator: Emulator) -> None:
    emulator.plan(*[{"on": "list", "drop": True}] * 1_000)
    with pytest.raises(EmulatorError, match="at most 1000"):
        emulator.plan({"on": "list", "drop": True})
    assert len(emulator.faults()) == 1_000


def test_a_share_of_none_is_none(emulator: Emulator) -> None:
    assert len(emulator.plan({**_ROWS, "share": 0, "seed": 1})) == 1
