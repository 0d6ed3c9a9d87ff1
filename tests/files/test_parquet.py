"""Parquet: every row, with values that can be written as JSON."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
import textwrap
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meshflow_prefect import SourceError
from meshflow_prefect.sources import Row, Source

ZONE = dt.timezone(dt.timedelta(hours=2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.parquet"


def rows(path, table: pa.Table, **options) -> list[Row]:
    pq.write_table(table, path, **options)
    return list(Source.open(path).rows())


def read(path, array: pa.Array) -> list:
    found = rows(path, pa.table({"a": array}))
    assert not [row.problem for row in found if row.problem]
    read = [row.values["a"] for row in found]
    assert orjson.loads(orjson.dumps(read)) == read
    return read


def test_rows_come_in_order_over_row_groups_and_batches(path):
    table = pa.table({"id": range(30_000), "text": [f"text {n}" for n in range(30_000)]})
    found = rows(path, table, row_group_size=7_000)

    assert [row.values for row in found] == table.to_pylist()
    assert [row.number for row in found] == list(range(30_000))
    assert found[-1].place == f"{path}, row 30000"


def test_the_schema_is_known_before_the_rows_are_read(path):
    pq.write_table(pa.table({"id": [1], "text": ["x"]}), path)
    assert Source.open(path).columns == ("id", "text")


def test_texts_numbers_and_nulls_are_what_they_are(path):
    assert read(path, pa.array(["ä", None, ""])) == ["ä", None, ""]
    assert read(path, pa.array([1, None, -(2**63)])) == [1, None, -(2**63)]
    assert read(path, pa.array([True, None])) == [True, None]
    assert read(path, pa.array([None, None])) == [None, None]
    assert read(path, pa.array([1.5, None, 2.0])) == [1.5, None, 2.0]
    assert read(path, pa.array(["a", "b", "a"]).dictionary_encode()) == ["a", "b", "a"]
    assert read(path, pa.array(["a", None], pa.large_string())) == ["a", None]


def test_numbers_that_json_does_not_have_are_null(path):
    assert read(path, pa.array([math.nan, math.inf, -math.inf, 0.5])) == [None, None, None, 0.5]
    assert read(path, pa.array([[math.nan, 1.0]])) == [[None, 1.0]]


def test_dates_and_times_are_iso_texts(path):
    at = dt.datetime(2024, 5, 6, 7, 8, 9, 120000)
    assert read(path, pa.array([at.date(), None])) == ["2024-05-06", None]
    assert read(path, pa.array([at])) == ["2024-05-06T07:08:09.120000"]
    assert read(path, pa.array([at.replace(tzinfo=ZONE)], pa.timestamp("us", "+02:00"))) == [
        "2024-05-06T07:08:09.120000+02:00"
    ]
    assert read(path, pa.array([dt.time(7, 8)])) == ["07:08:00"]
    assert read(path, pa.array([dt.timedelta(minutes=1.5)])) == [90.0]


def test_nanoseconds_are_cut_to_microseconds(path):
    nanoseconds = 1_700_000_000_123_456_789
    text = "2023-11-14T22:13:20.123456"
    assert read(path, pa.array([nanoseconds, None], pa.timestamp("ns"))) == [text, None]
    assert read(path, pa.array([[nanoseconds]], pa.list_(pa.timestamp("ns")))) == [[text]]
    struct = pa.struct([("at", pa.timestamp("ns", "UTC"))])
    assert read(path, pa.array([{"at": nanoseconds}], struct)) == [{"at": f"{text}+00:00"}]


def test_decimals_are_texts_and_bytes_are_base64(path):
    assert read(path, pa.array([Decimal("1.20"), None])) == ["1.20", None]
    assert read(path, pa.array([b"\x00\xff", None, b""])) == ["AP8=", None, ""]


def test_nested_values_are_lists_and_objects(path):
    turns = [[{"role": "user", "content": "Hi."}], [], None]
    assert read(path, pa.array(turns)) == turns
    deep = [{"a": [Decimal("1.0"), None], "b": {"c": dt.date(2024, 1, 2)}}]
    assert read(path, pa.array(deep)) == [{"a": ["1.0", None], "b": {"c": "2024-01-02"}}]


def test_what_is_null_in_a_request_is_not_given(path):
    """All rows of a struct have the same fields."""
    rows = [
        {"params": {"temperature": 0.5}, "other": {"a": 1}},
        {"params": {"stop_sequences": ["x"], "metadata": {"user_id": "u"}}, "other": {"b": 2}},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert [row.values["params"] for row in Source.open(path).rows()] == [
        row["params"] for row in rows
    ]
    assert [row.values["other"] for row in Source.open(path).rows()] == [
        {"a": 1, "b": None},
        {"a": None, "b": 2},
    ]


def test_maps_are_objects_when_their_keys_are_texts(path):
    texts = pa.array([[("a", 1), ("b", None)], None], pa.map_(pa.string(), pa.int64()))
    assert read(path, texts) == [{"a": 1, "b": None}, None]
    numbers = pa.array([[(1, "a")]], pa.map_(pa.int64(), pa.string()))
    assert read(path, numbers) == [[[1, "a"]]]


def test_a_value_without_a_json_form_is_a_bad_row_that_names_the_column(path):
    # The year 30828, which Python's dates do not reach.
    days = pa.array([0, 10_540_000, None], pa.date32())
    one, bad, two = rows(path, pa.table({"id": [1, 2, 3], "day": days}))

    assert (one.values, two.values) == ({"id": 1, "day": "1970-01-01"}, {"id": 3, "day": None})
    assert (bad.number, bad.line, bad.values) == (1, 2, {})
    assert bad.problem.startswith("column 'day' cannot be written as JSON: ")


def test_a_file_of_no_rows_has_none(path):
    assert rows(path, pa.table({"a": pa.array([], pa.string())})) == []


def test_a_column_that_is_there_twice_is_an_error(path):
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(SourceError, match=r"has the column 'a' twice"):
        _ = Source.open(path).columns


def test_what_is_no_parquet_is_an_error(path):
    path.write_bytes(b"no such thing, but long enough to look into")
    source = Source.open(path)
    for look in (lambda: source.columns, lambda: list(source.rows())):
        with pytest.raises(SourceError, match=r"rows.parquet' cannot be read as Parquet"):
            look()


def test_a_damaged_file_is_an_error_on_the_way(path):
    pq.write_table(pa.table({"a": ["x" * 100, "y" * 100]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[20:60] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"rows.parquet'"):
        list(Source.open(path).rows())


def test_a_missing_pyarrow_is_an_error_that_names_the_extra(path):
    pq.write_table(pa.table({"a": [1]}), path)
    code = """
    import sys
    sys.modules["pyarrow"] = None  # as if it were not installed
    from meshflow_prefect import DestinationError, SourceError
    from meshflow_prefect.sinks import check_destination
    from meshflow_prefect.sources import Source
    for error, look in (
        (SourceError, lambda: Source.open(sys.argv[1]).columns),
        (SourceError, lambda: list(Source.open(sys.argv[1]).rows())),
        (DestinationError, lambda: check_destination(sys.argv[1], overwrite=True)),
    ):
        try:
            look()
        except error as raised:
            assert "pip install 'meshflow-prefect[parquet]'" in str(raised), raised
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=True)


def test_large_rows_are_read_a_few_at_a_time(path):
    table = pa.table({"a": [f"{n}" + "x" * 3_000_000 for n in range(12)]})
    assert [len(row.values["a"]) for row in rows(path, table)] == [3_000_001] * 10 + [3_000_002] * 2


def test_files_in_memory_are_read_by_two_at_once(memory):
    import fsspec

    table = pa.table({"a": range(20_000)})
    with fsspec.open(f"{memory}/a.parquet", "wb") as file:
        pq.write_table(table, file)
    source = Source.open(f"{memory}/a.parquet")

    pairs = list(zip(source.rows(), source.rows(), strict=True))
    assert all(one == other for one, other in pairs)
    assert [one.values for one, _ in pairs] == table.to_pylist()
