"""Every document of a folder is one request and one row, in order, can it be read or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pyarrow.parquet as pq
import pytest
from prefect import flow
from pydantic import BaseModel

from meshflow_prefect import (
    BadRowsError,
    BatchFailedError,
    ContentChangedError,
    DestinationError,
    InvalidRequestError,
    SourceError,
    batch_documents,
)
from meshflow_prefect.models import RESULT_COLUMNS
from tests.support import papers
from tests.support.artifacts import markdown_of
from tests.support.documents import (
    INSTRUCTION,
    READABLE,
    UNREADABLE,
    mixed,
    run_documents,
    write_documents,
)
from tests.support.files import read_rows, sizes
from tests.support.jobs import SOON


async def test_every_kind_is_answered_and_what_cannot_be_read_is_a_row_that_says_so(
    emulator, tmp_path
):
    source = mixed(tmp_path / "in")

    summary = await run_documents(source, tmp_path / "out.jsonl")

    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["custom_id"] for row in rows] == [*list(READABLE)[:6], *UNREADABLE, "more/7.jpg"]
    assert list(rows[0]) == [*RESULT_COLUMNS, "path", "kind", "bytes"]
    replies = {row["custom_id"]: row["output"] for row in rows}
    assert [replies[f"{name}"] for name in ("1.txt", "3.html", "6.docx")] == ["Lamps."] * 3
    assert all(replies[name] for name in READABLE)
    for row in rows:
        name = row["custom_id"]
        assert row["path"] == f"{source}/{name}"
        assert row["bytes"] == (tmp_path / "in" / name).stat().st_size
        if name in READABLE:
            assert row["succeeded"]
        else:
            assert row["status"] == "errored"
            assert row["error_type"] == "bad_row"
            assert row["error"].startswith(f"{source}/{name}: {UNREADABLE[name][1]}")
            assert (row["attempts"], row["cost_usd"]) == (0, 0.0)
    assert [row["kind"] for row in rows[:6]] == ["text", "text", "html", "pdf", "image", "docx"]
    assert sizes(emulator) == [7]
    assert (summary.rows, summary.succeeded, summary.bad_rows) == (12, 7, 5)
    assert [why.split(": ")[0] for why in summary.problems] == [f"{source}/{n}" for n in UNREADABLE]


async def test_no_content_is_copied_into_the_output(tmp_path):
    write_documents(tmp_path / "in", {"1.png": papers.noise(200, 7)})
    await run_documents(tmp_path / "in", tmp_path / "out.jsonl")
    assert (tmp_path / "in" / "1.png").stat().st_size > 100_000
    assert (tmp_path / "out.jsonl").stat().st_size < 3_000


class Finding(BaseModel):
    about: str
    pages: int | None = None


async def test_replies_of_a_type_go_to_parquet(tmp_path):
    source = mixed(tmp_path / "in")
    instruction = 'Say it as {"about": …}. [[reply when lamp: {"about": "lamps", "pages": 1}]]'

    summary = await run_documents(
        source, tmp_path / "out.parquet", instruction=instruction, output_type=Finding
    )

    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["custom_id"] for row in table if row["error_type"] == "bad_row"] == [*UNREADABLE]
    parsed = {row["custom_id"]: row["parsed"] for row in table}
    assert parsed["1.txt"] == '{"about":"lamps","pages":1}'
    assert all('"about"' in parsed[name] for name in READABLE)
    assert {(row["kind"], type(row["bytes"])) for row in table} >= {("pdf", int), ("image", int)}
    assert summary.succeeded == 7


async def test_one_file_a_glob_and_a_url(emulator, tmp_path):
    mixed(tmp_path / "in")
    place = f"memory://{uuid4().hex}"
    with fsspec.open(f"{place}/a.pdf", "wb") as file:
        file.write(papers.pdf())

    for number, source in enumerate((tmp_path / "in/4.pdf", f"{tmp_path}/in/*.md", place)):
        await run_documents(source, tmp_path / f"{number}.jsonl")

    ids = [read_rows(tmp_path / f"{number}.jsonl")[0]["custom_id"] for number in range(3)]
    assert ids == ["4.pdf", "2.md", "a.pdf"]
    assert sizes(emulator) == [1, 1, 1]


async def test_batches_are_made_by_bytes(emulator, tmp_path):
    images = {f"{n}.png": papers.noise(40, n) for n in range(7)}
    await run_documents(
        write_documents(tmp_path / "in", images), tmp_path / "out.jsonl", max_bytes_per_batch=20_000
    )
    assert sizes(emulator) == [2, 2, 2, 1]


async def test_a_document_that_no_batch_holds_is_a_row_that_says_so(emulator, tmp_path):
    images = {"1.png": papers.noise(90, 1), "2.png": papers.noise(20, 2)}
    source = write_documents(tmp_path / "in", images)

    await run_documents(source, tmp_path / "out.jsonl", max_bytes_per_batch=20_000)

    large, small = read_rows(tmp_path / "out.jsonl")
    assert "the request takes" in large["error"]
    assert "one batch holds at most 20,000" in large["error"]
    assert small["succeeded"]


async def test_where_nothing_can_be_read_nothing_is_sent_and_every_row_says_why(emulator, tmp_path):
    source = write_documents(tmp_path / "in", {name: bad for name, (bad, _) in UNREADABLE.items()})
    summary = await run_documents(source, tmp_path / "out.jsonl")
    assert [row["error_type"] for row in read_rows(tmp_path / "out.jsonl")] == ["bad_row"] * 5
    assert (summary.succeeded, summary.requests, summary.cost_usd) == (0, 0, 0.0)
    assert emulator.batches() == []


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"on_bad_row": "raise"}, BadRowsError, r"5 of 12 rows cannot be sent: .*bad/1.pdf: it is"),
        ({"instruction": ""}, InvalidRequestError, "instruction: say what is to be done"),
        ({"output_type": {"type": "object"}}, InvalidRequestError, "output_type: "),
        ({"source": "{folder}/none"}, SourceError, "there is no such file or folder"),
        ({"source": "{folder}/empty"}, SourceError, r"empty': there are no files\."),
        ({"destination": "{folder}/out.docx"}, DestinationError, "known endings are"),
    ],
    ids=["raise", "instruction", "schema", "nothing", "empty folder", "destination"],
)
async def test_what_is_wrong_is_told_before_anything_is_sent(
    emulator, tmp_path, options, error, why
):
    (tmp_path / "empty").mkdir()
    given = {"source": mixed(tmp_path / "in"), "destination": "{folder}/out.jsonl", **options}
    for name in ("source", "destination"):
        given[name] = given[name].replace("{folder}", str(tmp_path))

    with pytest.raises(error, match=why):
        await run_documents(**given)

    assert emulator.batches() == []
    assert not list(tmp_path.glob("out.*"))


async def test_too_many_that_fail_are_an_error_after_the_output_is_written(tmp_path):
    source = mixed(tmp_path / "in")
    with pytest.raises(BatchFailedError, match=r"5 of 12 rows failed, more than the 40\.0% allow"):
        await run_documents(
            source, tmp_path / "out.jsonl", on_failure="raise", failure_threshold=0.4
        )
    assert len(read_rows(tmp_path / "out.jsonl")) == 12


async def test_a_shared_system_prompt_is_cached_by_the_first_document(emulator, tmp_path):
    source = mixed(tmp_path / "in")

    summary = await run_documents(
        source,
        tmp_path / "out.jsonl",
        model="claude-opus-5",
        system="Read with care. " * 300,
        warm_cache=True,
    )

    assert sizes(emulator) == [1, 6]
    assert summary.cache_read_tokens > 6 * 1_000
    assert summary.saved_by_cache_usd > 0


def failing_once(
    source: str, out: Path, between: Callable[[], object], changed: dict[str, Any] | None = None
) -> Any:
    """Return a flow whose first attempt fails while it collects; something happens after that."""
    attempts = []

    @flow(retries=1)
    async def outer() -> object:
        attempts.append(1)
        options: dict[str, Any] = {"instruction": INSTRUCTION, "poll_interval": SOON}
        if len(attempts) == 2:
            between()
            options |= changed or {}
        return await batch_documents(source, str(out), max_requests_per_batch=3, **options)

    return outer()


async def test_a_run_that_fails_while_it_collects_submits_nothing_again(emulator, tmp_path):
    source = mixed(tmp_path / "in")
    emulator.plan({"on": "results", "skip": 1, "status": 400})

    await failing_once(source, tmp_path / "out.jsonl", lambda: None)

    assert emulator.faults()[0]["fired"] == 1
    assert sizes(emulator) == [3, 3, 1]
    assert len(read_rows(tmp_path / "out.jsonl")) == 12


@pytest.mark.parametrize("spool_is_lost", [False, True])
@pytest.mark.parametrize("change", ["a document", "a name", "the instruction"])
async def test_what_has_changed_since_the_submission_is_an_error_and_nothing_more_is_sent(
    emulator, tmp_path, spools, change, spool_is_lost
):
    source = mixed(tmp_path / "in")
    emulator.plan({"on": "results", "skip": 1, "status": 400})

    def between() -> None:
        if change == "a document":
            (tmp_path / "in/1.txt").write_text("The lamp is gone.")
        if change == "a name":
            (tmp_path / "in/1.txt").rename(tmp_path / "in/0.txt")
        if spool_is_lost:
            spools.rename(tmp_path / "lost")

    changed = {"instruction": "Another one."} if change == "the instruction" else {}
    with pytest.raises(ContentChangedError, match="are not what they were at"):
        await failing_once(source, tmp_path / "out.jsonl", between, changed)

    assert sizes(emulator) == [3, 3, 1]


async def test_a_later_run_with_the_same_key_collects_and_makes_no_batch(
    emulator, tmp_path, request
):
    source, key = mixed(tmp_path / "in"), f"documents of {request.node.name}"
    first = await run_documents(source, tmp_path / "one.jsonl", job_key=key)
    second = await run_documents(source, tmp_path / "two.jsonl", job_key=key)

    assert sizes(emulator) == [7]
    assert second.batch_ids == first.batch_ids
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


async def test_two_jobs_at_once_in_one_flow(emulator, tmp_path):
    source = mixed(tmp_path / "in")

    @flow
    async def both() -> list[Any]:
        jobs = [run_documents(source, tmp_path / f"{name}.jsonl") for name in ("one", "two")]
        return await asyncio.gather(*jobs)

    one, two = await both()
    assert sizes(emulator) == [7, 7]
    assert set(one.batch_ids).isdisjoint(two.batch_ids)


async def test_the_artifact_says_in_a_table_what_came_out_and_what_could_not_be_read(
    stack, emulator, tmp_path
):
    documents = {f"<b>{n}|x</b>.xyz": b"?" for n in range(25)} | {"1.txt": b"One.", "2.txt": b"2."}
    source = write_documents(tmp_path / "in", documents)
    emulator.plan(
        {"on": "rows", "custom_id": "task-0-*", "outcome": "errored", "error": "api_error"},
        {"on": "rows", "custom_id": "task-1-*", "outcome": "errored", "error": "not_found_error"},
    )

    state = await batch_documents(
        source, str(tmp_path / "out.jsonl"), "Say it.", poll_interval=SOON, return_state=True
    )

    page = markdown_of(stack, state.state_details.flow_run_id, "bulk-documents")
    assert "| Documents | 27 |" in page
    assert "| Replies | 1 |" in page
    assert "| Not readable | 25 |" in page
    assert "| Failed | 1 |" in page
    assert page.count("documents of its kind are not read") == 20
    assert "And 5 more: the output says it of each." in page
    assert "| not\\_found\\_error" in page
    assert "<b>" not in page
    assert max(len(line) for line in page.splitlines()) < 700
