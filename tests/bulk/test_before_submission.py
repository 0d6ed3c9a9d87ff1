"""What can be known before anything is submitted is an error before anything is submitted."""

from __future__ import annotations

import os

import pytest

from meshflow_prefect.errors import (
    BadRowsError,
    DestinationError,
    InvalidRequestError,
    OverBudgetError,
    SourceError,
)
from tests.support.files import counting, read_rows, run_file, write_rows


@pytest.fixture(autouse=True)
def nothing_is_submitted(emulator):
    """Holds after every test of this file."""
    yield
    assert emulator.batches() == []


@pytest.fixture
def source(tmp_path) -> str:
    return write_rows(tmp_path / "in.jsonl", counting(5))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("gone.jsonl", None, "there is no such file or folder"),
        ("*.jsonl", None, "there are no files"),
        ("empty.jsonl", b"", "empty, 0 bytes"),
        ("blank.jsonl", b"\n\n", "has no rows"),
        ("header.csv", b"n\n", "has no rows"),
        ("wrong.csv", b"n,n\n1,2\n", "names the column 'n' twice"),
        ("wrong.parquet", b"no Parquet", "cannot be read"),
        ("wrong.jsonl.gz", b"no gzip", "cannot be read"),
        ("one.json", b"[\n]", "holds one JSON document"),
        ("rows.txt", b"x", "cannot tell what is in"),
    ],
)
async def test_a_source_that_cannot_be_read(tmp_path, name, content, why):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "out").mkdir()

    with pytest.raises(SourceError, match=why):
        await run_file(tmp_path / name, tmp_path / "out" / "out.jsonl")

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_source_that_must_not_be_read(source, tmp_path):
    (tmp_path / "in.jsonl").chmod(0)
    with pytest.raises(SourceError, match="permission"):
        await run_file(source, tmp_path / "out.jsonl")


async def test_a_template_with_a_column_that_no_row_has_is_told_before_all_is_read(tmp_path):
    (tmp_path / "in.csv").write_text("n\n" + '1,"never closed\n' * 10)
    with pytest.raises(InvalidRequestError, match=r"has no column 'tone'. Its columns: n"):
        await run_file(tmp_path / "in.csv", tmp_path / "out.jsonl", system="Be {tone}.")


async def test_a_template_with_a_column_that_no_json_line_has_is_told_after_twenty(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", counting(1000))
    with pytest.raises(BadRowsError, match=r"20 of the first 20 .*column 'tone' is missing"):
        await run_file(source, tmp_path / "out.jsonl", system="Be {tone}.")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"prompt": "{n"}, "The template, line 1"),
        ({"prompt": "{n.real}"}, "columns only"),
        ({"params": {"stream": True}}, "params.stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": ""}, "model"),
    ],
)
async def test_a_recipe_that_is_wrong_whatever_the_row(source, tmp_path, options, why):
    with pytest.raises(InvalidRequestError, match=why):
        await run_file(source, tmp_path / "out.jsonl", **options)


async def test_a_destination_that_exists_is_left_as_it_is(source, tmp_path):
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(DestinationError, match="exists: remove it"):
        await run_file(source, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ("out.xlsx", "known endings are"),
        ("folder.jsonl", "is a folder"),
        ("file/out.jsonl", "cannot be written"),
    ],
)
async def test_a_destination_that_cannot_be_written(source, tmp_path, destination, why):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DestinationError, match=why):
        await run_file(source, tmp_path / destination)


async def test_a_job_that_may_cost_more_than_it_may(source, tmp_path, spools):
    with pytest.raises(OverBudgetError, match=r"5 requests .* may cost up to US\$ 0\.\d+") as told:
        await run_file(source, tmp_path / "out.jsonl", max_cost_usd=0.001)

    assert told.value.most_usd > 0.001
    assert not (tmp_path / "out.jsonl").exists()
    assert list(spools.iterdir()) == []


async def test_a_job_whose_price_is_not_known_has_no_budget(source, tmp_path):
    with pytest.raises(OverBudgetError, match="set_price"):
        await run_file(source, tmp_path / "out.jsonl", max_cost_usd=5, model="model-of-tomorrow")


async def test_nothing_is_kept_of_a_source_that_cannot_be_sent(source, tmp_path, spools):
    write_rows(tmp_path / "bad.jsonl", [{"n": 1}, b"x"])
    with pytest.raises(BadRowsError):
        await run_file(tmp_path / "bad.jsonl", tmp_path / "out.jsonl")

    assert list(spools.iterdir()) == []
    assert len(read_rows(source)) == 5


async def test_the_same_fault_of_many_rows_is_told_once_with_the_columns_there_are(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", [{"n": n, "id": f"r{n}"} for n in range(5)])
    with pytest.raises(BadRowsError) as told:
        await run_file(source, tmp_path / "out.jsonl", prompt="{tone}")

    assert (
        f"5 rows cannot be sent: {source}, line 1, line 2, line 3, line 4, line 5: column "
        "'tone' is missing; the row has n, id. Nothing was submitted" in str(told.value)
    )
    assert len(told.value.details["rows"]) == 5
