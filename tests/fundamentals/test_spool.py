"""A source becomes a spool: the bodies of the create calls, and where each row's result will be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest

from meshflow_prefect import InvalidRequestError
from meshflow_prefect.bulk.chunk_files import SpooledChunk, spooled
from meshflow_prefect.bulk.plan import NOT_SENT, Plan
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.bulk.workplace import Workplace
from meshflow_prefect.chunking import Limits, make_chunk
from meshflow_prefect.errors import BadRowsError, SourceError
from meshflow_prefect.models import BatchRequest
from meshflow_prefect.sources import Row, Source

SETTINGS = """
from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.bulk.spool import Spooling
from meshflow_prefect.chunking import Limits

recipe = Recipe(prompt="Say: {text}", system="Be {tone}.", params={"top_k": 1})
print(Spooling(recipe=recipe, suffix="0123456789ab", limits=Limits()).settings)
"""


@dataclass(frozen=True)
class Endless:
    """A source that is never read to its end."""

    read: Event
    url: str = "endless.jsonl"
    fingerprint: str = ""
    columns: None = None

    def rows(self) -> Iterator[Row]:
        for number in count():
            yield Row(number, self.url, number + 1, {"text": "x"})
            self.read.set()


def spooling(prompt: str | None = "Say: {text}", **options: Any) -> Spooling:
    recipe = {key: options.pop(key) for key in ("system", "model", "params") if key in options}
    limits = options.pop("limits", Limits())
    how = Recipe(prompt=prompt, **recipe)
    return Spooling(recipe=how, suffix="0123456789ab", limits=limits, **options)


def written(folder: Path, rows: list[Any], how: Spooling) -> tuple[Plan, Workplace]:
    source = folder / "rows.jsonl"
    source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    place = Workplace(folder / "job")
    return how.write(Source.open(str(source)), place.spool, Progress()), place


def texts(*names: str) -> list[dict[str, Any]]:
    return [{"text": name} for name in names]


def held(names: list[str], start: int = 0) -> Any:
    ids = [f"task-{start + n}-0123456789ab" for n in range(len(names))]
    pairs = zip(ids, names, strict=True)
    return make_chunk([BatchRequest(i, f"Say: {name}") for i, name in pairs])


def same(chunk: SpooledChunk, other: Any) -> bool:
    facts = [
        (c.requests, c.custom_ids, c.ids_digest, c.digest, c.size, b"".join(c.body()))
        for c in (chunk, other)
    ]
    return facts[0] == facts[1]


def test_a_chunk_on_disk_is_what_it_would_be_in_memory(tmp_path):
    names = ["a", "line\nend", "U+2028: \u2028", '"}]', "é" * 9]

    plan, place = written(tmp_path, texts(*names), spooling(limits=Limits(max_requests=3)))

    assert [chunk.requests for chunk in plan.chunks] == [3, 2]
    assert same(place.chunk(plan, 0), held(names[:3]))
    assert same(place.chunk(plan, 1), held(names[3:], start=3))


def test_chunks_are_cut_at_the_byte(tmp_path):
    names = ["first", "second", "3"]
    size = held(names[:2]).size

    exact, _ = written(tmp_path, texts(*names), spooling(limits=Limits(max_bytes=size)))
    less, _ = written(tmp_path, texts(*names), spooling(limits=Limits(max_bytes=size - 1)))

    assert [chunk.requests for chunk in exact.chunks] == [2, 1]
    assert [chunk.requests for chunk in less.chunks] == [1, 2]


def test_some_requests_of_a_chunk_are_a_chunk_of_their_own(tmp_path):
    names = ["a", "b", "c", "d"]
    plan, place = written(tmp_path, texts(*names), spooling())

    some = place.chunk(plan, 0).some([1, 3], tmp_path / "some.json")

    ids = [f"task-{n}-0123456789ab" for n in (1, 3)]
    assert same(
        some, make_chunk([BatchRequest(i, f"Say: {n}") for i, n in zip(ids, "bd", strict=True)])
    )


def test_each_row_knows_where_its_result_will_be(tmp_path):
    how = spooling(limits=Limits(max_requests=2), on_bad_row="skip", deduplicate=True)
    rows = [*texts("a", "b", "a"), {"id": "mine", "text": "c"}, {"no": 1}, *texts("c")]

    plan, place = written(tmp_path, rows, how)

    entries = [orjson.loads(line) for line in place.rows.read_bytes().splitlines()]
    why = f"{tmp_path}/rows.jsonl, line 5: column 'text' is missing; the row has no"
    assert entries == [
        [0, 0, "0"], [0, 1, "1"], [0, 0, "2"], [1, 0, "mine"], [NOT_SENT, why, "4"], [1, 0, "5"],
    ]  # fmt: skip
    assert (plan.rows, plan.requests, plan.bad_rows, plan.duplicates) == (6, 3, 1, 2)


def test_requests_are_equal_only_when_all_their_parameters_are(tmp_path):
    rows = [
        {"params": {"prompt": "x"}},
        {"params": {"prompt": "x", "top_k": 1}},
        {"params": {"prompt": "x", "model": "claude-opus-5"}},
        {"params": {"prompt": "x"}},
    ]

    plan, _ = written(tmp_path, rows, spooling(None, deduplicate=True))

    assert (plan.requests, plan.duplicates) == (3, 1)


def test_a_plan_comes_back_as_it_was_for_the_same_source_and_settings(tmp_path):
    how = spooling(include_input=True)
    plan, place = written(tmp_path, [{"text": "a", "n": 1}], how)

    assert place.plan == plan
    assert plan.columns == {"text": "string", "n": "int64"}
    assert Plan.read(tmp_path) is None


def test_each_reading_of_a_source_has_a_spool_of_its_own(tmp_path):
    place = Workplace(tmp_path)
    readings = [("one", "settings"), ("another", "settings"), ("one", "others")]
    places = [place.of_reading(fingerprint=f, settings=s) for f, s in readings]

    assert len({each.spool for each in places}) == 3
    assert places[0] == place.of_reading(fingerprint="one", settings="settings")
    assert {each.directory for each in places} == {tmp_path}


def test_executions_that_spool_the_same_at_once_leave_one_whole_spool(tmp_path):
    rows, how = texts(*"abcdefgh"), spooling(limits=Limits(max_requests=1))
    first, place = written(tmp_path, rows, how)
    source = Source.open(str(tmp_path / "rows.jsonl"))

    for round_ in range(10):
        spool = tmp_path / f"spool-{round_}"
        with ThreadPoolExecutor(4) as pool:
            at_once = [pool.submit(how.write, source, spool, Progress()) for _ in range(4)]
        assert [each.result() for each in at_once] == [first] * 4
        assert Plan.read(spool) == first
        assert {path.name for path in spool.iterdir()} == {p.name for p in place.spool.iterdir()}
    assert not list(tmp_path.glob("*.part"))


def test_the_settings_are_the_same_in_another_process():
    recipe = Recipe(prompt="Say: {text}", system="Be {tone}.", params={"top_k": 1})
    here = Spooling(recipe=recipe, suffix="0123456789ab", limits=Limits()).settings

    there = subprocess.run([sys.executable, "-c", SETTINGS], capture_output=True, check=True)

    assert there.stdout.decode().strip() == here


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "Tell: {text}"},
        {"prompt": None},
        {"system": "Be brief."},
        {"model": "claude-opus-5"},
        {"params": {"top_k": 1}},
        {"on_bad_row": "skip"},
        {"deduplicate": True},
        {"include_input": True},
        {"limits": Limits(max_requests=5)},
    ],
)
def test_whatever_changes_the_spool_changes_its_settings(other):
    assert spooling(**other).settings != spooling().settings
    assert spooling(**other).settings == spooling(**other).settings


def test_the_digest_of_a_job_tells_its_rows_and_their_order(tmp_path):
    jobs = [texts("a", "b"), texts("b", "a"), texts("a"), [*texts("a"), {"text": "b", "id": "x"}]]
    digests = []
    for number, rows in enumerate(jobs):
        (tmp_path / str(number)).mkdir()
        digests.append(written(tmp_path / str(number), rows, spooling())[0].digest)

    assert len(set(digests)) == len(digests)
    assert written(tmp_path / "0", jobs[0], spooling())[0].digest == digests[0]


def test_bad_rows_are_one_error_that_names_each_and_leaves_nothing(tmp_path):
    rows = [*texts("a"), {"text": None}, {"id": 7, "text": "b"}, {"id": "7", "text": "c"}]

    with pytest.raises(BadRowsError) as told:
        written(tmp_path, rows, spooling())

    assert "2 of 4 rows cannot be sent" in str(told.value)
    assert [why.removeprefix(f"{tmp_path}/") for why in told.value.rows] == [
        "rows.jsonl, line 2: column 'text' is null",
        f"rows.jsonl, line 4: id '7' was used before, in {tmp_path}/rows.jsonl, line 3; "
        "rows without an id are called by their number, from 0",
    ]
    assert list((tmp_path / "job").iterdir()) == []


def test_a_row_without_an_id_is_not_called_as_another_one_is(tmp_path):
    rows = [*texts("a"), {"id": "0", "text": "b"}, {"id": 3, "text": "c"}, *texts("d", "e")]

    with pytest.raises(BadRowsError) as told:
        written(tmp_path, rows, spooling())

    assert [why.replace(f"{tmp_path}/", "") for why in told.value.rows] == [
        "rows.jsonl, line 2: id '0' was used before, in rows.jsonl, line 1; "
        "rows without an id are called by their number, from 0",
        "rows.jsonl, line 4: the row has no id, and its number '3' was used before, in "
        "rows.jsonl, line 3",
    ]


def test_reading_stops_after_twenty_bad_rows(tmp_path):
    with pytest.raises(
        BadRowsError, match=r"20 of the first 25 rows.*The rest was not read"
    ) as told:
        written(tmp_path, [*texts(*"abcde"), *[{"no": 1}] * 100], spooling())
    assert len(told.value.rows) == 20


def test_a_request_that_no_batch_holds_is_a_bad_row(tmp_path):
    how = spooling(limits=Limits(max_bytes=1000))
    with pytest.raises(BadRowsError, match=r"line 2: the request takes 1,\d+ bytes, .* 1,000"):
        written(tmp_path, texts("a", "x" * 1000, "b"), how)


def test_a_source_without_rows_is_told(tmp_path):
    (tmp_path / "blank.jsonl").write_bytes(b"\n\n")
    with pytest.raises(SourceError, match="has no rows"):
        spooling().write(Source.open(str(tmp_path / "blank.jsonl")), tmp_path / "s", Progress())


def test_a_column_that_no_row_of_a_csv_file_has_is_told_before_any_is_read(tmp_path):
    (tmp_path / "rows.csv").write_text("name\n" + "a,too many fields\n" * 30)
    with pytest.raises(InvalidRequestError, match=r"has no column 'text'\. Its columns: name"):
        spooling().write(Source.open(str(tmp_path / "rows.csv")), tmp_path / "s", Progress())


def test_the_same_plan_opens_its_chunks_from_any_folder(tmp_path):
    plan, place = written(tmp_path, texts("a"), spooling())
    (tmp_path / "elsewhere").mkdir()
    moved = place.spool.rename(tmp_path / "elsewhere" / "spool")

    assert same(spooled(moved / "chunk-00000.json", plan.chunks[0]), held(["a"]))


def test_a_reading_that_is_cancelled_stops_and_leaves_nothing(tmp_path):
    """The loop waits for its threads when it closes: it would do so for ever."""
    progress, begun = Progress(), Event()

    async def cancelled() -> None:
        job = spooling().written(Endless(begun), tmp_path / "job" / "spool", progress)
        reading = asyncio.create_task(job)
        await asyncio.to_thread(begun.wait)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(cancelled())

    assert progress.rows_read
    assert list((tmp_path / "job").iterdir()) == []
