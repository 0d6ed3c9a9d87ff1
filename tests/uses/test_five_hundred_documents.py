"""Five hundred documents of mixed kinds, of which five cannot be read, in batches by bytes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from prefect import flow

from meshflow_prefect import FileSummary
from tests.support import papers
from tests.support.documents import UNREADABLE, run_documents, write_documents
from tests.support.files import read_rows, sizes

COUNT, MOST_BYTES = 495, 100_000
INSTRUCTION = "What is in this document?"
KINDS = ("txt", "md", "html", "docx", "pdf", "png", "jpg")


def document(number: int) -> tuple[str, bytes]:
    """Return the name and content of a document; those with text have the emulator answer it."""
    kind = KINDS[number % len(KINDS)]
    text = f"[[reply: It is number {number}.]]"
    content = {
        "txt": lambda: text.encode(),
        "md": lambda: f"# Title\n\n{text}".encode(),
        "html": lambda: f"<h1>Title</h1><p>{text}</p>".encode(),
        "docx": lambda: papers.word("Title", text),
        "pdf": lambda: papers.pdf(1 + number % 3),
        "png": lambda: papers.noise(10 + number % 60, number),
        "jpg": lambda: papers.noise(10 + number % 60, number, "JPEG"),
    }
    return f"{number % 10}/paper-{number}.{kind}", content[kind]()


def in_order(folder: Path) -> list[str]:
    """Return the names below a folder as people count them: `paper-2` before `paper-10`."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]

    def key(name: str) -> tuple[str, int, str]:
        folder, _, rest = name.partition("/")
        digits = "".join(filter(str.isdigit, rest))
        return folder, int(digits), rest

    return sorted(names, key=key)


async def test_each_has_its_row_in_order_and_nothing_is_lost(emulator, tmp_path, spools):
    documents = dict(document(number) for number in range(COUNT))
    source = write_documents(tmp_path / "in", documents)
    write_documents(tmp_path / "in", {name: content for name, (content, _) in UNREADABLE.items()})
    bodies: list[int] = []

    @flow(retries=1)
    async def outer() -> FileSummary:
        # The second attempt finds what the first one, which could not collect, has spooled.
        bodies[:] = spooled_bytes(spools)
        return await run_documents(
            source, tmp_path / "out.jsonl", instruction=INSTRUCTION, max_bytes_per_batch=MOST_BYTES
        )

    emulator.plan({"on": "results", "skip": 2, "status": 400})
    summary = await outer()

    rows = read_rows(tmp_path / "out.jsonl")
    check_rows(rows, source, tmp_path / "in")
    assert (summary.succeeded, summary.bad_rows, summary.failed) == (COUNT, 5, 5)
    assert sum(sizes(emulator)) == COUNT
    assert len(emulator.batches()) == len(bodies) == len(summary.batch_ids) > 5
    assert max(bodies) <= MOST_BYTES
    # A batch ends where the next document does not fit: two in a row hold more than one may.
    assert all(one + other > MOST_BYTES for one, other in pairwise(bodies))
    print(f"500 documents: {COUNT} replies, 5 that say why not, in batches of {bodies} bytes.")


def check_rows(rows: list[dict[str, Any]], source: str, folder: Path) -> None:
    assert [row["custom_id"] for row in rows] == in_order(folder)
    assert len(rows) == 500
    assert [row["custom_id"] for row in rows if not row["succeeded"]] == [*UNREADABLE]
    for row in rows:
        name = Path(row["custom_id"])
        assert row["bytes"] == (folder / name).stat().st_size
        if not row["succeeded"]:
            why = UNREADABLE[row["custom_id"]][1]
            assert row["error"].startswith(f"{source}/{name}: {why}")
        elif name.suffix in (".txt", ".md", ".html", ".docx"):
            assert row["output"] == f"It is number {name.stem.removeprefix('paper-')}."
        else:
            # What the emulator counts for a PDF, and for an image.
            tokens = 2_000 if name.suffix == ".pdf" else 1_600
            assert 0 <= row["usage"]["input_tokens"] - tokens < 50


def spooled_bytes(spools: Path) -> list[int]:
    plans = [json.loads(path.read_bytes()) for path in spools.glob("job-*/spool-*/plan.json")]
    return [chunk["size"] for plan in plans for chunk in plan["chunks"]]
