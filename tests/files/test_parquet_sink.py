"""Parquet out: the columns of the results, and those that the caller adds."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchResult, DestinationError
from meshflow_prefect.parquet_sink import RESULT_TYPES
from meshflow_prefect.sinks import open_sink

SCHEMA = {"text": "string", "n": "int64", "price": "double", "ok": "bool", "tags": "json"}


def written(path, rows: list[dict], schema=None) -> pa.Table:
    with open_sink(path, schema=schema, overwrite=True) as sink:
        for row in rows:
            sink.write(orjson.dumps(row))
    return pq.read_table(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.parquet"


def test_the_columns_are_those_of_a_result_and_then_the_callers(path):
    assert list(RESULT_TYPES) == list(BatchResult("a", "succeeded").to_dict())
    assert written(path, [], SCHEMA).schema.names == [*RESULT_TYPES, *SCHEMA]
    assert [str(field.type) for field in pq.read_schema(path)][-5:] == [
        *("string", "int64", "double", "bool", "string")
    ]


def test_a_result_comes_back_as_it_was(path):
    message = {"id": "msg_1", "content": [{"type": "text", "text": "ä"}], "usage": None}
    usage = {"input_tokens": 3}
    results = [
        BatchResult("a", "succeeded", "ä", 7, 0.5, model="m", usage=usage, message=message),
        BatchResult("b", "errored", cost_usd=None, error="no", error_type="api_error", attempts=2),
    ]
    rows = [result.to_dict() for result in results]

    found = written(path, rows).to_pylist()
    for row in found:
        row["usage"] = orjson.loads(row["usage"])
        row["earlier_usage"] = orjson.loads(row["earlier_usage"])
        row["message"] = orjson.loads(row["message"]) if row["message"] else None
    assert found == rows


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "text": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
                "n": st.none() | st.integers(-(2**63), 2**63 - 1),
                "price": st.none()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.integers(-(2**53), 2**53),
                "ok": st.none() | st.booleans(),
                "tags": st.none() | st.lists(st.text("ab")) | st.booleans() | st.text("ab"),
            },
        ),
        max_size=8,
    )
)
def test_the_callers_columns_come_back_and_absent_ones_are_null(tmp_path_factory, rows):
    found = written(tmp_path_factory.getbasetemp() / "out.parquet", rows, SCHEMA)

    for name in ("text", "n", "price", "ok"):
        assert found[name].to_pylist() == [row.get(name) for row in rows]
    tags = [None if tag is None else orjson.loads(tag) for tag in found["tags"].to_pylist()]
    assert tags == [row.get("tags") for row in rows]
    assert found["custom_id"].to_pylist() == [None] * len(rows)


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("n", 1.5, "int64"),
        ("n", "1", "int64"),
        ("n", True, "int64"),
        ("n", 2**63, "int64"),
        ("price", "1.5", "double"),
        ("price", True, "double"),
        ("ok", 1, "bool"),
        ("text", 5, "string"),
        ("text", {}, "string"),
        ("status", [], "string"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_row_and_column(path, column, value, kind):
    rows = [{}] * 6_000 + [{column: None}, {column: value}]
    with pytest.raises(DestinationError) as caught:
        written(path, rows, SCHEMA)

    assert str(caught.value) == (
        f"{str(path)!r}: row 6002: column {column!r} holds {value!r}, which is no {kind}."
    )
    assert (caught.value.row, caught.value.column) == (6002, column)
    assert not list(path.parent.iterdir())


def test_a_column_that_is_in_no_schema_is_an_error(path):
    with pytest.raises(DestinationError, match=r"row 2: column 'more' is not in the schema"):
        written(path, [{}, {"more": 1}])


def test_a_column_of_the_results_cannot_be_given_another_type(path):
    with pytest.raises(DestinationError, match=r"the column 'output' is one of the results' own"):
        written(path, [], {"output": "string"})


def test_row_groups_are_of_bounded_size(path):
    written(path, [{"output": "x"}] * 120_000)
    small = pq.ParquetFile(path).metadata
    assert [small.row_group(n).num_rows for n in range(small.num_row_groups)] == [
        *(50_000, 50_000, 20_000)
    ]

    written(path, [{"output": "x" * 1_000_000}] * 80)
    large = pq.ParquetFile(path).metadata
    assert large.num_row_groups >= 2
    assert sum(large.row_group(n).num_rows for n in range(large.num_row_groups)) == 80
