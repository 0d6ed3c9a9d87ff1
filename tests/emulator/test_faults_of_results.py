"""Damage to the file of results, while the batch stays as it is."""

from __future__ import annotations

import json

import anthropic
import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import BATCHES, create, lines_of, params, status_of


@pytest.fixture
def ended(emulator: Emulator, api: httpx.Client) -> str:
    """A batch of ten rows that has ended."""
    batch_id: str = create(api, *[params(f"Question {n}?") for n in range(10)])["id"]
    emulator.end(batch_id)
    return batch_id


def _lines(api: httpx.Client, batch_id: str) -> list[bytes]:
    content = api.get(f"{BATCHES}/{batch_id}/results").content
    assert content.endswith(b"\n") or not content
    return content.split(b"\n")[:-1]


def _line_of(lines: list[bytes], custom_id: str) -> bytes:
    return next(line for line in lines if f'"{custom_id}"'.encode() in line)


def _plan(emulator: Emulator, damage: str, **more: object) -> None:
    emulator.plan({"on": "rows", "custom_id": "row-3", "damage": damage, **more})


def test_a_row_can_be_forgotten(emulator: Emulator, api: httpx.Client, ended: str) -> None:
    whole = _lines(api, ended)
    _plan(emulator, "forget")
    assert _lines(api, ended) == [line for line in whole if line != _line_of(whole, "row-3")]
    assert status_of(api, ended)["request_counts"]["succeeded"] == 10


def test_every_row_can_be_forgotten(emulator: Emulator, api: httpx.Client, ended: str) -> None:
    emulator.plan({"on": "rows", "damage": "forget"})
    assert _lines(api, ended) == []


def test_a_row_can_be_repeated(emulator: Emulator, api: httpx.Client, ended: str) -> None:
    whole = _lines(api, ended)
    _plan(emulator, "repeat")
    damaged = _lines(api, ended)
    assert len(damaged) == 11
    assert damaged.count(_line_of(whole, "row-3")) == 2


def test_a_row_can_be_no_json(emulator: Emulator, api: httpx.Client, ended: str) -> None:
    whole = _lines(api, ended)
    _plan(emulator, "corrupt")
    damaged = _lines(api, ended)
    assert len(damaged) == 10
    (changed,) = set(damaged) - set(whole)
    with pytest.raises(json.JSONDecodeError):
        json.loads(changed)


def test_a_row_can_be_half_a_line(emulator: Emulator, api: httpx.Client, ended: str) -> None:
    whole = _lines(api, ended)
    _plan(emulator, "truncate")
    (changed,) = set(_lines(api, ended)) - set(whole)
    line = _line_of(whole, "row-3")
    assert line.startswith(changed)
    assert len(changed) == (len(line) + 1) // 2


def test_a_row_can_have_an_id_that_no_request_has(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    _plan(emulator, "rename")
    ids = {row["custom_id"] for row in lines_of(api, ended)}
    assert ids - {f"row-{n}" for n in range(10)} == {"unknown-row-3"}
    assert "row-3" not in ids


def test_a_text_can_have_line_separators_that_end_no_line(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    _plan(emulator, "line_separator")
    line = _line_of(_lines(api, ended), "row-3").decode()
    assert len(line.splitlines()) == 3
    text = json.loads(line)["result"]["message"]["content"][0]["text"]
    assert ("\u2028" in text, "\u0085" in text) == (True, True)


def test_the_message_of_an_error_can_have_line_separators(
    emulator: Emulator, api: httpx.Client
) -> None:
    emulator.plan(
        {"on": "rows", "every": 2, "outcome": "errored", "message": "a b c"},
        {"on": "rows", "damage": "line_separator"},
    )
    batch_id = create(api, *[params()] * 4)["id"]
    emulator.end(batch_id)
    results = {row["custom_id"]: row["result"] for row in lines_of(api, batch_id)}
    assert [results[f"row-{n}"]["error"]["error"]["message"] for n in (1, 3)] == [
        "a\u2028b\u0085c",
        "a\u2028b\u0085c",
    ]


def test_a_reply_in_json_stays_json_with_line_separators(
    emulator: Emulator, api: httpx.Client
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    output = {"format": {"type": "json_schema", "schema": schema}}
    emulator.plan({"on": "rows", "damage": "line_separator"})
    batch_id = create(api, params("one two three four five", output_config=output))["id"]
    emulator.end(batch_id)
    (row,) = lines_of(api, batch_id)
    assert "\u2028" in json.loads(row["result"]["message"]["content"][0]["text"])["a"]


def test_damage_can_be_done_to_every_nth_line(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    whole = _lines(api, ended)
    emulator.plan({"on": "rows", "every": 5, "damage": "forget"})
    assert _lines(api, ended) == whole[:4] + whole[5:9]


def test_damage_can_end_with_the_first_reading(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    _plan(emulator, "forget", times=1)
    assert [len(_lines(api, ended)) for _ in range(3)] == [9, 10, 10]


def test_damage_is_done_at_every_reading_unless_it_is_told_otherwise(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    _plan(emulator, "forget")
    assert [len(_lines(api, ended)) for _ in range(3)] == [9, 9, 9]
    assert emulator.faults()[0]["fired"] == 3


def test_damage_can_be_done_to_one_batch(emulator: Emulator, api: httpx.Client, ended: str) -> None:
    other = create(api, *[params()] * 10)["id"]
    emulator.end(other)
    _plan(emulator, "forget", batch_id=other)
    assert [len(_lines(api, each)) for each in (ended, other)] == [10, 9]


def test_damage_changes_nothing_of_what_is_billed(
    emulator: Emulator, api: httpx.Client, ended: str
) -> None:
    emulator.plan({"on": "rows", "damage": "forget"})
    assert [spend["requests"] for spend in emulator.spend().values()] == [10]


def test_the_sdk_does_not_survive_a_corrupt_line(emulator: Emulator, ended: str) -> None:
    _plan(emulator, "corrupt")
    with anthropic.Anthropic(base_url=emulator.base_url, api_key=emulator.api_key) as client:
        rows = client.messages.batches.results(ended)
        with pytest.raises(ValueError, match="Expecting value"):
            list(rows)
