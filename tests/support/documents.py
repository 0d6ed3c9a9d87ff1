"""Folders of documents for document jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshflow_prefect import FileSummary, batch_documents
from tests.support import papers
from tests.support.jobs import SOON

INSTRUCTION = "What is this about? [[reply when lamp: Lamps.]]"

READABLE = {
    "1.txt": b"The lamp flickers.",
    "2.md": b"# Jacket\n\nIt kept me dry.",
    "3.html": b"<h1>Lamp</h1><p>The <b>lamp</b> hums.</p>",
    "4.pdf": papers.pdf(2),
    "5.png": papers.image(),
    "6.docx": papers.word("The lamp fell.", table=[["lamp", "3"]]),
    "more/7.jpg": papers.image("JPEG"),
}

UNREADABLE = {
    "bad/1.pdf": (papers.pdf(password="secret"), "it is encrypted; save it without a password"),
    "bad/2.png": (papers.noise(20, 1)[:400], "it is a broken image: "),
    "bad/3.txt": (b"", "it is empty, 0 bytes"),
    "bad/4.xyz": (b"?", "documents of its kind are not read; known endings are .txt, "),
    "bad/5.docx": (papers.word("Cut.")[:900], "it is not a Word file, or broken: "),
}
"""Documents that cannot be read, and what is said of them."""


def write_documents(folder: Path, documents: dict[str, bytes]) -> str:
    """Write documents into a folder, and return its path as a text."""
    for name, data in documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def mixed(folder: Path) -> str:
    """Make a folder with one document of each kind, and one for each reason not to read it."""
    return write_documents(folder, READABLE | {name: bad for name, (bad, _) in UNREADABLE.items()})


async def run_documents(source: object, destination: object, **options: Any) -> FileSummary:
    """Run a document job without patience."""
    options = {"instruction": INSTRUCTION, "poll_interval": SOON, **options}
    summary: FileSummary = await batch_documents(str(source), str(destination), **options)
    return summary
