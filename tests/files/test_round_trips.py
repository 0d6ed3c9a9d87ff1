"""Whatever rows are written in one of the three kinds come back equal, in order."""

from __future__ import annotations

import csv
import io

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect.sources import Source

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
line_ends = st.sampled_from(["\n", "\r\n"])
boms = st.sampled_from([b"", b"\xef\xbb\xbf"])


def read(name: str, content: bytes) -> list:
    url = f"memory://round-trips/{name}"
    with fsspec.open(url, "wb", compression="infer") as file:
        file.write(content)
    found = list(Source.open(url).rows())
    assert [row.number for row in found] == list(range(len(found)))
    assert not [row.problem for row in found if row.problem]
    return [row.values for row in found]


@given(st.lists(st.dictionaries(texts, json_values, max_size=4), min_size=1), line_ends, boms)
def test_json_lines(rows, end, bom):
    content = bom + b"".join(orjson.dumps(row) + end.encode() for row in rows)
    assert read("a.jsonl", content) == rows
    assert read("a.jsonl.gz", content) == rows


@given(st.data(), line_ends, boms)
def test_csv(data, end, bom):
    names = st.text("abc €\"'", min_size=1)
    columns = data.draw(st.lists(names, min_size=2, max_size=4, unique=True))
    records = st.tuples(*[texts for _ in columns])
    rows = data.draw(st.lists(records, max_size=6))
    written = io.StringIO(newline="")
    # Python 3.11 leaves a carriage return unquoted where it is no line end, and cannot read it.
    quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    csv.writer(written, lineterminator=end, quoting=quoting).writerows([columns, *rows])

    content = bom + written.getvalue().encode()
    expected = [dict(zip(columns, row, strict=True)) for row in rows]
    assert read("a.csv", content) == expected
    assert read("a.csv.gz", content) == expected


@given(st.data())
def test_parquet(data):
    kinds = {
        pa.string(): texts,
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
        pa.bool_(): st.booleans(),
        pa.list_(pa.string()): st.lists(st.none() | texts, max_size=3),
        pa.struct([("x", pa.string()), ("y", pa.list_(pa.float64()))]): st.fixed_dictionaries(
            {
                "x": st.none() | texts,
                "y": st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=2),
            }
        ),
    }
    chosen = data.draw(st.lists(st.sampled_from(list(kinds)), min_size=1, max_size=4))
    columns = {f"column {number}": kind for number, kind in enumerate(chosen)}
    row = st.fixed_dictionaries({name: st.none() | kinds[k] for name, k in columns.items()})
    rows = data.draw(st.lists(row, max_size=8))
    written = io.BytesIO()
    table = pa.Table.from_pylist(rows, pa.schema(list(columns.items())))
    pq.write_table(table, written, row_group_size=data.draw(st.integers(1, 8)))

    assert read("a.parquet", written.getvalue()) == rows
