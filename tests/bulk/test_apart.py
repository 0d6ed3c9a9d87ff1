"""A destination that the source reads is refused: it would be lost, or read the next time."""

from __future__ import annotations

import fsspec
import pytest

from meshflow_prefect.errors import DestinationError
from tests.support.files import counting, read_rows, run_file, write_rows


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "rows" / "more").mkdir(parents=True)
    write_rows(tmp_path / "rows" / "in.jsonl", counting(3))
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "rows" / "in.jsonl")
    (tmp_path / "linked").symlink_to(tmp_path / "rows")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("rows/in.jsonl", "rows/in.jsonl"),
        ("rows/in.jsonl", "./rows/../rows/in.jsonl"),
        ("rows/in.jsonl", "link.jsonl"),
        ("link.jsonl", "rows/in.jsonl"),
        ("rows", "rows/out.jsonl"),
        ("rows/", "rows/more/out.jsonl"),
        ("rows/*.jsonl", "rows/out.jsonl"),
        ("linked/*.jsonl", "rows/out.jsonl"),
        ("rows/*.jsonl", "linked/out.jsonl"),
    ],
)
async def test_what_the_source_reads_is_no_destination(emulator, folder, source, destination):
    with pytest.raises(DestinationError, match="is what this job reads, or would read the next"):
        await run_file(source, destination, overwrite=True)

    assert emulator.batches() == []
    assert len(read_rows(folder / "rows" / "in.jsonl")) == 3


async def test_in_memory_too(memory):
    with fsspec.open(f"{memory}/in.jsonl", "wb") as file:
        file.write(b'{"n": 0}\n')

    with pytest.raises(DestinationError, match="is what this job reads"):
        await run_file(f"{memory}/in.jsonl", f"{memory}/in.jsonl", overwrite=True)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("rows/in.jsonl", "rows/out.jsonl"),
        ("rows", "rows.out.jsonl"),
        ("rows/*.jsonl", "rows/out.parquet"),
    ],
)
async def test_what_stands_beside_it_is_one(folder, source, destination):
    summary = await run_file(source, destination)

    assert summary.succeeded == 3
    assert (folder / destination).exists()
