"""From every kind of source to every kind of destination: one row for each, in input order."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.utilities.callables import parameter_schema

from meshflow_prefect import batch_file
from meshflow_prefect.models import RESULT_COLUMNS
from tests.support.files import PROMPT, counting, numbers, read_rows, run_file, sizes, write_rows
from tests.support.jobs import SOON

HARD = ["U+2028: \u2028", "U+0085: \x85", 'quote " and \\', "tab\tand\nline", "🜁 é"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


async def test_json_lines_in_and_out_in_order(emulator, tmp_path, out):
    source = write_rows(tmp_path / "in.jsonl", counting(40))

    summary = await run_file(source, out)

    rows = read_rows(out)
    assert numbers(rows) == list(range(40))
    assert [row["custom_id"] for row in rows] == [str(n) for n in range(40)]
    assert list(rows[0]) == list(RESULT_COLUMNS)
    assert (summary.rows, summary.succeeded, summary.failed) == (40, 40, 0)
    assert sizes(emulator) == [40]


async def test_the_figures_are_the_sums_of_the_rows_and_the_bill(emulator, tmp_path, out):
    source = write_rows(tmp_path / "in.jsonl", counting(12))

    summary = await run_file(source, out)

    rows = read_rows(out)
    (bill,) = emulator.spend().values()
    assert summary.tokens == sum(row["tokens"] for row in rows)
    assert (summary.input_tokens, summary.output_tokens) == (
        bill["input_tokens"],
        bill["output_tokens"],
    )
    exact = sum(Decimal(repr(row["cost_usd"])) for row in rows)
    assert summary.cost_usd == float(exact)
    assert summary.standard_cost_usd == float(2 * exact)
    assert summary.batch_ids == tuple(batch["id"] for batch in emulator.batches())
    assert (summary.source, summary.destination) == (source, str(out))
    assert dict(summary.statuses) == {"succeeded": 12}
    assert orjson.dumps(summary.to_dict())
    assert f"{12:,} rows of {source}: 12 succeeded" in str(summary)


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz"])
async def test_csv_in(tmp_path, out, ending):
    separator = "\t" if ending == "tsv" else ","
    lines = [separator.join(["key", "n", "note"])]
    lines += [separator.join([f"k{n}", str(n), f'"a ""note"" of\n{n}"']) for n in range(9)]
    data = "\n".join(lines).encode()
    (tmp_path / f"in.{ending}").write_bytes(gzip.compress(data) if "gz" in ending else data)

    await run_file(tmp_path / f"in.{ending}", out, id_column="key", include_input=True)

    rows = read_rows(out)
    assert numbers(rows) == list(range(9))
    assert [row["custom_id"] for row in rows] == [f"k{n}" for n in range(9)]
    assert rows[3]["note"] == 'a "note" of\n3'


async def test_a_glob_and_a_folder_are_read_in_natural_order(tmp_path):
    for part in (10, 2, 1):
        rows = [{"n": 100 * part + n} for n in range(3)]
        write_rows(tmp_path / f"part-{part}.jsonl", rows)
    (tmp_path / "out").mkdir()

    await run_file(tmp_path / "part-*.jsonl", tmp_path / "out" / "glob.jsonl")
    (tmp_path / "folder").mkdir()
    for part in tmp_path.glob("part-*"):
        part.rename(tmp_path / "folder" / part.name)
    await run_file(tmp_path / "folder", tmp_path / "out" / "folder.jsonl")

    expected = [100, 101, 102, 200, 201, 202, 1000, 1001, 1002]
    assert numbers(read_rows(tmp_path / "out" / "glob.jsonl")) == expected
    assert numbers(read_rows(tmp_path / "out" / "folder.jsonl")) == expected


async def test_memory_in_and_out(memory):
    with fsspec.open(f"{memory}/in.jsonl", "wb") as file:
        file.write(b"".join(orjson.dumps(row) + b"\n" for row in counting(5)))

    await run_file(f"{memory}/in.jsonl", f"{memory}/out.jsonl")

    with fsspec.open(f"{memory}/out.jsonl", "rb") as file:
        assert numbers([orjson.loads(line) for line in file]) == list(range(5))


async def test_parquet_in_and_out_with_the_input_of_every_type(tmp_path):
    count, when = 7, datetime(2026, 1, 2, 3, 4, 5)
    columns = {
        "n": list(range(count)),
        "status": [f"s{n}" for n in range(count)],
        "ratio": [n / 2 if n else None for n in range(count)],
        "flag": [n % 2 == 0 for n in range(count)],
        "tags": [[n, n + 1] for n in range(count)],
        "at": [when] * count,
        "none": pa.array([None] * count, pa.string()),
        "large": pa.array([2**60 + n for n in range(count)], pa.int64()),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=3)

    await run_file(tmp_path / "in.parquet", tmp_path / "out.parquet", include_input=True)

    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == [*RESULT_COLUMNS, *columns][: len(RESULT_COLUMNS)] + [
        "input_status" if name == "status" else name for name in columns
    ]
    rows = table.to_pylist()
    assert numbers(rows) == [row["n"] for row in rows] == list(range(count))
    assert [
        str(table.schema.field(name).type) for name in ("n", "ratio", "flag", "tags", "at")
    ] == [
        "int64",
        "double",
        "bool",
        "string",
        "string",
    ]
    last = rows[-1]
    assert (last["input_status"], last["ratio"], last["flag"], last["tags"]) == (
        "s6",
        3,
        True,
        "[6,7]",
    )
    assert (last["at"], last["none"], last["large"]) == ("2026-01-02T03:04:05", None, 2**60 + 6)
    assert rows[0]["ratio"] is None
    message = orjson.loads(last["message"])
    assert message["content"][0]["text"] == last["output"]
    assert (last["succeeded"], last["attempts"], last["status"]) == (True, 1, "succeeded")


async def test_numbers_that_no_double_holds_do_not_end_a_parquet_output(tmp_path):
    rows = [{"n": 1, "x": 1.5}, {"n": 2, "x": 2**60 + 1}, f'{{"n": 3, "x": {2**70}}}'.encode()]
    source = write_rows(tmp_path / "in.jsonl", rows)

    await run_file(source, tmp_path / "out.parquet", include_input=True)

    found = pq.read_table(tmp_path / "out.parquet")["x"].to_pylist()
    assert found == ["1.5", str(2**60 + 1), str(2**70)]


async def test_whole_numbers_of_any_length_keep_their_digits(tmp_path, out):
    rows = [f'{{"n": {2**64}, "m": 1}}'.encode(), f'{{"n": 2, "m": {-(2**80)}}}'.encode()]
    source = write_rows(tmp_path / "in.jsonl", rows)

    await run_file(source, out, prompt="Say {n} and {m}", include_input=True)

    first, last = map(json.loads, out.read_text().splitlines())
    assert f"Say {2**64} and 1" in first["output"]
    assert f"Say 2 and {-(2**80)}" in last["output"]
    assert (first["n"], last["m"]) == (2**64, -(2**80))


async def test_texts_with_every_kind_of_line_end_come_through(tmp_path, out):
    prompt = "[[reply: {text}]] Say it."
    source = write_rows(tmp_path / "in.jsonl", [{"text": text} for text in HARD])

    await run_file(source, out, prompt=prompt, include_input=True)

    rows = read_rows(out)
    assert [row["output"] for row in rows] == [row["text"] for row in rows] == HARD


async def test_anthropics_own_format_passes_and_keeps_its_ids(emulator, tmp_path, out):
    ready = [
        {
            "custom_id": f"mine-{9 - n}",
            "params": {
                "model": "claude-opus-5",
                "max_tokens": 60,
                "messages": [{"role": "user", "content": PROMPT.format(n=n)}],
            },
        }
        for n in range(10)
    ]

    await run_file(write_rows(tmp_path / "in.jsonl", ready), out, prompt=None)

    rows = read_rows(out)
    assert [row["custom_id"] for row in rows] == [f"mine-{9 - n}" for n in range(10)]
    assert numbers(rows) == list(range(10))
    assert {row["model"] for row in rows} == {"claude-opus-5"}


async def test_the_same_job_makes_the_same_bytes_whatever_its_chunks(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(9))
    outputs = []
    for number, most in enumerate((9, 2)):
        out = tmp_path / f"out-{number}.jsonl"
        await run_file(source, out, max_requests_per_batch=most, include_input=True)
        outputs.append([{**row, "message": None} for row in read_rows(out)])

    assert outputs[0] == outputs[1]


async def test_a_password_in_a_url_is_in_no_log_and_no_summary(emulator, caplog):
    place = f"memory://me:hunter2@{uuid4().hex}"
    with fsspec.open(f"{place}/in.jsonl", "wb") as file:
        file.write(b'{"n": 0}\n')

    summary = await run_file(f"{place}/in.jsonl", f"{place}/out.jsonl")

    assert summary.source.startswith("memory://me:***@")
    assert summary.destination.startswith("memory://me:***@")
    assert "hunter2" not in f"{summary} {summary.to_dict()} {caplog.text}"


async def test_paths_are_files_too_and_a_form_asks_for_a_text(tmp_path, out):
    source = tmp_path / "in.jsonl"
    write_rows(source, counting(2))

    summary = await batch_file(source, out, prompt=PROMPT, poll_interval=SOON)

    assert (summary.source, summary.destination) == (str(source), str(out))
    assert numbers(read_rows(out)) == [0, 1]
    form = parameter_schema(batch_file).properties
    assert {form[name]["type"] for name in ("source", "destination")} == {"string"}
