"""The deployed document job sleeps while Anthropic reads, and wakes to write every document."""

from __future__ import annotations

from tests.support.artifacts import markdown_of
from tests.support.files import read_rows, sizes
from tests.support.pools import ROOT
from tests.support.processes import processes_of_run, wait_until

SCHEMA = {
    "type": "object",
    "properties": {"sender": {"type": "string"}, "total": {"type": "number"}},
    "required": ["sender", "total"],
    "additionalProperties": False,
}
NAMES = [
    "corner-cafe.png",
    "harbour-bakery.docx",
    "lamp-works.md",
    "locked.pdf",
    "north-print.pdf",
    "rain-and-sons.html",
    "tide-and-rope.txt",
]
"""Of the sample documents, as the output has them."""


def test_the_sample_documents_are_read_without_a_process_in_between(worker, emulator, tmp_path):
    deployment = worker.deploy(
        "flows/bulk_documents.py:batch_documents", directory=ROOT, flow_name="bulk-documents"
    )
    run_id = worker.start(
        deployment,
        source="flows/data/documents",
        destination=str(tmp_path / "out.jsonl"),
        instruction="Who sends this bill, and how much is it in all?",
        output_type=SCHEMA,
        max_bytes_per_batch=8_000,
        poll_interval=10,
    )
    worker.wait_for_state(run_id, "Suspended", "Resuming")
    wait_until(lambda: not processes_of_run(run_id), "the process of the run has ended")
    made = sizes(emulator)
    assert len(made) > 1
    assert sum(made) == 6
    assert not (tmp_path / "out.jsonl").exists()

    run = worker.finish(run_id)

    rows = read_rows(tmp_path / "out.jsonl")
    assert run.run_count == 1
    assert [row["custom_id"] for row in rows] == NAMES
    assert [row["custom_id"] for row in rows if not row["succeeded"]] == ["locked.pdf"]
    assert rows[3]["error"] == (
        "flows/data/documents/locked.pdf: it is encrypted; save it without a password"
    )
    assert all({"sender", "total"} == row["parsed"].keys() for row in rows if row["succeeded"])
    assert sizes(emulator) == made
    assert "| Replies | 6 |" in markdown_of(worker, run_id, "bulk-documents")
