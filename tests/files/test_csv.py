"""CSV: every record is a row, or says why it is none."""

from __future__ import annotations

import csv
import gzip

import pytest

from meshflow_prefect import SourceError
from meshflow_prefect.sources import Row, Source


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.csv"


def rows(path, content: bytes) -> list[Row]:
    path.write_bytes(content)
    return list(Source.open(path).rows())


def values(path, content: bytes) -> list[dict]:
    found = rows(path, content)
    assert not [row.problem for row in found if row.problem]
    return [dict(row.values) for row in found]


def test_values_are_texts_by_the_names_of_the_header(path):
    assert values(path, b"id,text,Price (EUR)\r\n1,Hi.,2.50\r\n2,,\r\n") == [
        {"id": "1", "text": "Hi.", "Price (EUR)": "2.50"},
        {"id": "2", "text": "", "Price (EUR)": ""},
    ]


def test_the_header_is_known_before_the_rows_are_read(path):
    path.write_bytes(b'\xef\xbb\xbf"id","a ""b""\nc"\n1,2\n')
    source = Source.open(path)
    assert source.columns == ("id", 'a "b"\nc')
    assert [row.line for row in source.rows()] == [3]


def test_a_quoted_field_may_hold_commas_quotes_and_line_ends(path):
    found = rows(path, b'id,text\n1,"a, ""b""\r\n\nc"\n\n2,"\xe2\x80\xa8\r"\n3,x')
    assert [(row.number, row.line, row.values["text"]) for row in found] == [
        (0, 2, 'a, "b"\r\n\nc'),
        (1, 6, "\u2028\r"),
        (2, 7, "x"),
    ]


def test_a_tsv_file_is_separated_by_tabs(tmp_path):
    assert values(tmp_path / "rows.tsv", b"id\ttext\n1\ta,b\n") == [{"id": "1", "text": "a,b"}]


def test_a_compressed_file_is_read(tmp_path):
    assert values(tmp_path / "rows.csv.gz", gzip.compress(b"a\n1\n")) == [{"a": "1"}]
    found = values(tmp_path / "rows.tsv.gz", gzip.compress(b"a\tb\n1\t2\n"))
    assert found == [{"a": "1", "b": "2"}]


def test_a_header_alone_has_no_rows(path):
    assert rows(path, b"id,text\n") == []


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (b"1", "expected 2 fields, as in the header, got 1"),
        (b"1,2,3", "expected 2 fields, as in the header, got 3"),
        (b'1,"a"b', "bad CSV: ',' expected after '\"'"),
        (b"1,a\rb", "bad CSV: new-line character"),
        (b"1,caf\xe9", "not UTF-8: byte 0xe9 in line 3"),
        (b'1,"a\nb\xff\n"', "not UTF-8: byte 0xff in line 4"),
    ],
)
def test_a_bad_record_is_told_with_its_place_and_the_rest_is_read(path, record, problem):
    one, bad, two = rows(path, b"id,text\n1,one\n" + record + b"\n2,two\n")

    assert (one.values["text"], two.values["text"]) == ("one", "two")
    assert (bad.number, bad.place, bad.values) == (1, f"{path}, line 3", {})
    assert bad.problem.startswith(problem)


def test_a_quote_that_is_never_closed_is_a_bad_record_not_the_end_of_the_file(path):
    one, bad = rows(path, b'id,text\n1,one\n2,"two\n3,three\n')
    assert one.values == {"id": "1", "text": "one"}
    assert (bad.line, bad.problem) == (3, "bad CSV: unexpected end of data")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"id,text,id", "names the column 'id' twice"),
        (b"id,,text", "has no name for column 2"),
        (b"id;text", "is one column, 'id;text': in a .csv file commas part the columns"),
        (b"\n\n", "is missing"),
        (b"id,caf\xe9", "is not UTF-8: byte 0xe9 in line 1"),
        (b'id,"text', "cannot be read: unexpected end of data"),
    ],
)
def test_a_wrong_header_is_an_error(path, header, why):
    path.write_bytes(header + b"\n")
    source = Source.open(path)
    with pytest.raises(SourceError, match=f"rows.csv': the header {why}"):
        _ = source.columns
    with pytest.raises(SourceError, match=f"rows.csv': the header {why}"):
        list(source.rows())


def test_long_fields_are_read_and_the_limit_of_the_process_is_never_lowered(path):
    before = csv.field_size_limit(1 << 27)
    try:
        (row,) = rows(path, b"a\n%b\n" % (b"x" * 1_000_000))
        assert len(row.values["a"]) == 1_000_000
        assert csv.field_size_limit() == 1 << 27
    finally:
        csv.field_size_limit(before)
