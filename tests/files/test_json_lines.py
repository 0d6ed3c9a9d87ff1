"""JSON lines: every line is a row, or says why it is none."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re

import pytest

from meshflow_prefect import SourceError
from meshflow_prefect.sources import Row, Source


def rows(path, content: bytes) -> list[Row]:
    path.write_bytes(content)
    return list(Source.open(path).rows())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.jsonl"


def test_lines_end_at_line_feeds_only(path):
    content = '{"a":"x\u2028y\u0085z"}\r\n{"a":"\u2029\x7f"}'.encode()
    assert [row.values for row in rows(path, content)] == [
        {"a": "x\u2028y\u0085z"},
        {"a": "\u2029\x7f"},
    ]


def test_whole_numbers_keep_all_their_digits(path):
    values = {"n": 2**64, "deep": [{"m": -(2**63) - 1, "x": 1e30}], "k": 2**64 - 1}
    (row,) = rows(path, str(values).replace("'", '"').encode())
    assert row.values == values
    assert type(row.values["deep"][0]["x"]) is float


def test_blank_lines_are_no_rows_but_count_as_lines(path):
    found = rows(path, b'\n{"a":1}\n\r\n  \n{"a":2}\n\n')
    assert [(row.number, row.line, row.values) for row in found] == [
        (0, 2, {"a": 1}),
        (1, 5, {"a": 2}),
    ]


def test_a_file_of_blank_lines_has_no_rows(path):
    assert rows(path, b"\n\n") == []


def test_a_byte_order_mark_is_skipped(path):
    assert [row.values for row in rows(path, b'\xef\xbb\xbf{"a":1}\n')] == [{"a": 1}]


def test_utf16_is_an_error_that_says_what_to_do(path):
    with pytest.raises(SourceError, match="is UTF-16; save it as UTF-8"):
        rows(path, '{"a":1}\n'.encode("utf-16"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a":1', "bad JSON: unexpected end of data at column 7"),
        (b'{"a":1}{"a":2}', "bad JSON: unexpected content after document at column 8"),
        (b"{'a':1}", "bad JSON: .* at column 2"),
        (b'{"a":NaN}', "bad JSON: "),
        (b"[1]", "not a JSON object but an array"),
        (b'"a"', "not a JSON object but a text"),
        (b"1.5", "not a JSON object but a number"),
        (b"null", "not a JSON object but null"),
        (b"true", "not a JSON object but true or false"),
        (b'{"a":"caf\xe9"}', "not UTF-8: byte 0xe9 at position 10"),
        (b"\x00\x01", "bad JSON: "),
    ],
)
def test_a_bad_line_is_told_with_its_place_and_the_rest_is_read(path, line, problem):
    one, bad, two = rows(path, b'{"a":1}\n' + line + b'\n{"a":2}\n')

    assert (one.values, two.values) == ({"a": 1}, {"a": 2})
    assert (bad.number, bad.place, bad.values) == (1, f"{path}, line 2", {})
    assert re.match(problem, bad.problem), bad.problem
    assert not one.problem


@pytest.mark.parametrize(
    ("ending", "compress"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)],
)
def test_compressed_files_are_read_as_they_are_and_damaged_ones_are_an_error(
    tmp_path, ending, compress
):
    content = b"".join(b'{"a":%d}\n' % number for number in range(50_000))
    path = tmp_path / f"rows.jsonl.{ending}"

    found = rows(path, compress(content))
    assert [row.values["a"] for row in found] == list(range(50_000))
    assert (found[-1].place, found[-1].number) == (f"{path}, line 50000", 49_999)

    for damaged in (compress(content)[:-400], b"nothing of the kind"):
        with pytest.raises(SourceError, match=f"rows.jsonl.{ending}'"):
            rows(path, damaged)


def test_two_compressed_files_put_together_are_both_read(tmp_path):
    content = gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n')
    assert len(rows(tmp_path / "rows.ndjson.gz", content)) == 2


def test_a_long_line_is_one_row(path):
    (row,) = rows(path, b'{"a":"%b"}\n' % (b"x" * 5_000_000))
    assert len(row.values["a"]) == 5_000_000
