"""Reading takes the same memory however large the file is."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS, ROW_CHARACTERS = 80_000, 2_500
"""200 MB, of which a reader may take 100."""

READS = textwrap.dedent(
    r"""
    import re, sys
    from pathlib import Path
    import pyarrow.parquet
    from meshflow_prefect.sources import Source

    def peak():
        # Of this program alone: ru_maxrss would count the process that started it too.
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    before = peak()
    rows = sum(not row.problem for row in Source.open(sys.argv[1]).rows())
    print(rows, peak() - before)
    """
)


def text(number: int) -> str:
    return f"{number:09}" * (ROW_CHARACTERS // 9)


def write_json_lines(path: Path) -> None:
    with path.open("w") as file:
        file.writelines(f'{{"text":"{text(number)}"}}\n' for number in range(ROWS))


def write_csv(path: Path) -> None:
    with path.open("w") as file:
        file.write("id,text\n")
        file.writelines(f'{number},"{text(number)}"\n' for number in range(ROWS))


def write_parquet(path: Path) -> None:
    table = pa.table({"text": [text(number) for number in range(ROWS)]})
    pq.write_table(table, path, row_group_size=ROWS, compression="none", use_dictionary=False)
    assert pq.read_metadata(path).num_row_groups == 1


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.jsonl", write_json_lines), ("a.csv", write_csv), ("a.parquet", write_parquet)],
)
def test_a_file_of_200_mb_is_never_held(tmp_path, name: str, write: Callable[[Path], None]):
    path = tmp_path / name
    write(path)
    assert path.stat().st_size > 190_000_000

    reader = subprocess.run(
        [sys.executable, "-c", READS, str(path)], check=True, capture_output=True, text=True
    )
    path.unlink()

    rows, megabytes = reader.stdout.split()
    assert int(rows) == ROWS
    assert float(megabytes) < 100
