"""Rows that are no requests: an error that names each, or rows of the output that say so."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from meshflow_prefect.errors import BadRowsError
from tests.support.files import counting, numbers, read_rows, run_file, sizes, write_rows

READY: dict[str, Any] = {
    "model": "claude-opus-5",
    "max_tokens": 60,
    "messages": [{"role": "user", "content": "Name the number 7."}],
}
LIMIT = 2_000

BAD: dict[int, tuple[object, str]] = {
    2: (b'{"n": 1', "bad JSON"),
    4: (b"not json at all", "bad JSON"),
    5: ({"other": 1}, "column 'n' is missing"),
    7: ({"n": None}, "column 'n' is null"),
    8: ({"n": 1, "id": "first"}, "id 'first' was used before, in {source}, line 1"),
    10: ({"n": 1, "id": 1.5}, "column 'id': expected a text or a whole number"),
    11: ({"n": 1, "id": None}, "got null"),
    13: ({"n": 1, "id": ""}, "got empty"),
    14: ({"n": "x" * LIMIT}, "the request takes"),
    16: (b"[1, 2]", "not a JSON object but an array"),
    17: (b'"text"', "not a JSON object but a text"),
    19: (b"7", "not a JSON object but a number"),
    20: (b"null", "not a JSON object but null"),
    22: (b'{"n": "\xff"}', "not UTF-8: byte 0xff"),
    23: ({"n": 1, "id": ["a"]}, "got list"),
    25: ({"n": 1, "id": True}, "got bool"),
}
"""What is wrong in which line of 30."""

BAD_OF_OWN: dict[int, tuple[object, str]] = {
    1: ({"text": "x"}, "no column 'messages', 'params' or 'prompt'"),
    2: ({"prompt": ""}, "prompt: must not be empty"),
    3: ({"prompt": 5}, "prompt: expected a text, got int"),
    4: ({"messages": []}, "at least one turn"),
    5: ({"messages": "{"}, "column 'messages' is not JSON"),
    6: ({"params": "x"}, "column 'params' is not JSON"),
    7: ({"params": [1]}, "column 'params' is not an object"),
    8: ({"params": {"prompt": "x", "stream": True}}, "params.stream"),
    9: ({"params": {"prompt": "x", "max_tokens": 0}}, "max_tokens: must be at least 1"),
    10: ({"custom_id": "a b", "params": READY}, "custom_id 'a b'"),
    11: ({"custom_id": "x" * 65, "params": READY}, "1 to 64 characters"),
    12: ({"custom_id": "a", "params": {**READY, "stream": True}}, "params.stream"),
    13: ({"custom_id": "a", "params": {**READY, "speed": "fast"}}, "params.speed"),
    14: ({"custom_id": "a", "params": READY, "more": 1}, "no other columns, found 'more'"),
    15: ({"custom_id": "a", "params": {}}, "params.model: is missing"),
    16: ({"custom_id": "taken", "params": READY}, "id 'taken' was used before"),
}


def thirty() -> list[object]:
    """Return 30 rows, of which those of `BAD` are bad; the first has an id."""
    rows: list[object] = [{"n": n} for n in range(1, 31)]
    rows[0] = {"n": 1, "id": "first"}
    for line, (row, _) in BAD.items():
        rows[line - 1] = row
    return rows


def own() -> list[object]:
    """Return 30 rows of requests of their own, of which those of `BAD_OF_OWN` are bad."""
    rows: list[object] = [{"custom_id": "taken", "params": READY}]
    rows += [row for row, _ in BAD_OF_OWN.values()]
    return rows + [{"prompt": f"Name the number {n}."} for n in range(len(rows), 30)]


def name_of(row: object, line: int) -> str:
    """Return a bad row's own id where it has one, else its number."""
    known = {"first": "first", "taken": "taken", "a b": "a b", "a": "a", "x" * 65: "x" * 65}
    given = row if isinstance(row, dict) else {}
    return known.get(str(given.get("custom_id", given.get("id"))), str(line - 1))


@pytest.mark.parametrize(
    ("rows", "bad", "first", "prompt"),
    [(thirty(), BAD, 0, "Name the number {n}."), (own(), BAD_OF_OWN, 1, None)],
    ids=["filled", "own"],
)
async def test_every_kind_of_bad_row_is_named_with_its_line_and_nothing_is_submitted(
    emulator, tmp_path, spools, rows, bad, first, prompt
):
    source = write_rows(tmp_path / "in.jsonl", rows)

    with pytest.raises(BadRowsError) as told:
        await run_file(source, tmp_path / "out.jsonl", prompt=prompt, max_bytes_per_batch=LIMIT)

    assert len(rows) == 30
    assert f"{len(bad)} of 30 rows cannot be sent" in str(told.value)
    for (line, (_, why)), words in zip(bad.items(), told.value.rows, strict=True):
        assert words.startswith(f"{source}, line {line + first}: ")
        assert why.format(source=source) in words
        assert f"line {line + first}" in str(told.value)
        assert words.partition(f"line {line + first}: ")[2] in str(told.value)
    assert emulator.batches() == []
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("rows", "bad", "first", "prompt"),
    [(thirty(), BAD, 0, "Name the number {n}."), (own(), BAD_OF_OWN, 1, None)],
    ids=["filled", "own"],
)
async def test_skipped_bad_rows_are_rows_of_the_output_that_say_what_is_wrong(
    emulator, tmp_path, rows, bad, first, prompt
):
    source = write_rows(tmp_path / "in.jsonl", rows)
    options = {"prompt": prompt, "on_bad_row": "skip", "max_bytes_per_batch": LIMIT}

    summary = await run_file(source, tmp_path / "out.jsonl", include_input=True, **options)

    found = read_rows(tmp_path / "out.jsonl")
    lines = {line + first: why.format(source=source) for line, (_, why) in bad.items()}
    assert len(found) == 30
    for line, row in enumerate(found, 1):
        if line in lines:
            assert (row["status"], row["error_type"], row["attempts"]) == ("errored", "bad_row", 0)
            assert row["error"].startswith(f"{source}, line {line}: ")
            assert lines[line] in row["error"]
            assert (row["cost_usd"], row["tokens"], row["output"]) == (0.0, 0, "")
            assert row["custom_id"] == name_of(rows[line - 1], line)
        else:
            assert row["succeeded"], row
    assert summary.bad_rows == len(bad)
    assert (summary.rows, summary.requests, summary.failed) == (30, 30 - len(bad), len(bad))
    assert sum(sizes(emulator)) == 30 - len(bad)


async def test_bad_csv_records_are_named_with_the_line_on_which_they_begin(tmp_path):
    text = 'n,note\n1,"a\nb"\n2\n3,c,d\n4,e\n'
    (tmp_path / "in.csv").write_text(text)

    await run_file(tmp_path / "in.csv", tmp_path / "out.jsonl", on_bad_row="skip")

    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["error_type"] for row in rows] == [None, "bad_row", "bad_row", None]
    assert "in.csv, line 4: expected 2 fields, as in the header, got 1" in rows[1]["error"]
    assert "in.csv, line 5: expected 2 fields" in rows[2]["error"]


async def test_a_file_of_bad_rows_alone_is_an_output_of_bad_rows_alone(emulator, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", [b"x", b"y"])

    summary = await run_file(source, tmp_path / "out.jsonl", on_bad_row="skip", max_cost_usd=0.0)

    assert [row["error_type"] for row in read_rows(tmp_path / "out.jsonl")] == ["bad_row"] * 2
    assert (summary.requests, summary.batch_ids, summary.cost_usd) == (0, (), 0.0)
    assert emulator.batches() == []


async def test_reading_a_file_of_bad_rows_ends_after_the_first_twenty(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", [*counting(3), *[{"no": 1}] * 5_000])

    with pytest.raises(BadRowsError, match="20 of the first 23 rows"):
        await run_file(source, tmp_path / "out.jsonl")


async def test_skipped_rows_keep_their_place_over_files_and_chunks(emulator, tmp_path):
    write_rows(tmp_path / "part-1.jsonl", [{"n": 0}, b"x", {"n": 2}])
    write_rows(tmp_path / "part-2.jsonl", [{"n": 3}, {"n": None}, {"n": 5}])

    await run_file(
        tmp_path / "part-*.jsonl",
        tmp_path / "out.jsonl",
        on_bad_row="skip",
        max_requests_per_batch=3,
    )

    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["succeeded"] for row in rows] == [True, False, True, True, False, True]
    assert numbers(row for row in rows if row["succeeded"]) == [0, 2, 3, 5]
    assert "part-2.jsonl, line 2: column 'n' is null" in rows[4]["error"]
    assert sizes(emulator) == [3, 1]
    assert orjson.dumps(rows)


async def test_a_bad_row_is_not_called_as_another_row_is(emulator, tmp_path):
    """Ids from 1, and a line that cannot be read: its number is the id of the row before."""
    rows = [{"id": 1, "n": 1}, {"id": 2, "n": 2}, b"not json at all", {"id": 4, "n": 4}, {"id": 5}]
    source = write_rows(tmp_path / "in.jsonl", rows)

    await run_file(source, tmp_path / "out.jsonl", on_bad_row="skip")

    found = [row["custom_id"] for row in read_rows(tmp_path / "out.jsonl")]
    assert found == ["1", "2", "row 2", "4", "5"]


async def test_a_bad_row_is_not_called_as_a_later_row_is(emulator, tmp_path):
    """In a shuffled file the number of a line that cannot be read may be the id of any row."""
    rows = [{"id": 7, "n": 1}, b"not json", b"nor this", {"id": 1, "n": 2}, {"id": "x", "n": None}]
    source = write_rows(tmp_path / "in.jsonl", rows)

    await run_file(source, tmp_path / "out.jsonl", on_bad_row="skip", include_input=True)

    found = read_rows(tmp_path / "out.jsonl")
    assert [row["custom_id"] for row in found] == ["7", "row 1", "2", "1", "x"]
    assert [row["succeeded"] for row in found] == [True, False, False, True, False]
    assert [row.get("n") for row in found] == [1, None, None, 2, None]
