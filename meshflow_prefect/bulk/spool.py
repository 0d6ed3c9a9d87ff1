"""Source → requests on disk, one file for each chunk, which is the body of its create call.

    chunk-00000.json     {"requests":[ … one request a line … ]}
    chunk-00000.ids      the custom ids of these requests, one a line
    rows.jsonl           for each input row, in order: [chunk, position, id, input columns]
    plan.json            written last: all of it is there

A row that is no request has `[-1, "what is wrong", id, input columns]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import Event
from typing import BinaryIO, Self
from uuid import uuid4

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.bulk.bad_rows import BadRows, OnBadRow
from meshflow_prefect.bulk.chunk_files import ChunkFile
from meshflow_prefect.bulk.input_columns import InputColumns
from meshflow_prefect.bulk.making import AnyRecipe, Made
from meshflow_prefect.bulk.plan import NOT_SENT, ChunkPlan, ModelShare, Plan
from meshflow_prefect.bulk.progress import Progress
from meshflow_prefect.bulk.room import room_in
from meshflow_prefect.bulk.uniqueness import Seen
from meshflow_prefect.chunking import Filling, Limits, content_digest, item_of
from meshflow_prefect.errors import InvalidRequestError, SourceError
from meshflow_prefect.reading.rows import Row, RowSource, place_in

_BUFFER = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Spooling:
    """How a source is spooled."""

    recipe: AnyRecipe
    suffix: str = ""
    """Ends the ids of the requests, and tells the job; see `chunking.task_ids`."""
    limits: Limits
    on_bad_row: OnBadRow = "raise"
    deduplicate: bool = False
    include_input: bool = False
    first_alone: bool = False
    """Whether the first request has a chunk of its own, where requests use the prompt cache."""

    def __post_init__(self) -> None:
        """Refuse what is no way to treat bad rows."""
        if self.on_bad_row not in ("raise", "skip"):
            raise InvalidRequestError(
                f"on_bad_row: expected 'raise' or 'skip', got {self.on_bad_row!r}."
            )

    @property
    def settings(self) -> str:
        """Hex digest of how the source is spooled; the same in every process."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        own |= {"recipe": self.recipe.settings, "limits": asdict(self.limits)}
        return hashlib.sha256(orjson.dumps(own)).hexdigest()

    async def written(self, source: RowSource, directory: Path, progress: Progress) -> Plan:
        """Do what `write` does, in a thread; cancelled, it stops at the next row."""
        stop = Event()
        try:
            return await asyncio.to_thread(self.write, source, directory, progress, stop)
        finally:
            stop.set()

    def write(
        self, source: RowSource, directory: Path, progress: Progress, stop: Event | None = None
    ) -> Plan:
        """Read all of the source, and put the spool at `directory` when it is whole.

        Raises `BadRowsError`, with file and line, where rows are no requests, unless they are
        skipped; `SourceError` for a source without rows. Then nothing is left behind.
        """
        known = source.columns
        if known is not None and (lacking := [c for c in self.recipe.columns if c not in known]):
            raise InvalidRequestError(
                f"{source.url!r} has no column {lacking[0]!r}. Its columns: {', '.join(known)}."
            )
        stop = stop or Event()
        part = directory.with_name(f".{directory.name}.{uuid4().hex}.part")
        part.mkdir(parents=True)
        try:
            with room_in(directory.parent), _Writer(self, part, progress) as writer:
                for row in source.rows():
                    if stop.is_set():
                        raise asyncio.CancelledError
                    writer.take(row)
                plan = writer.plan(source)
                plan.write(part)
            _move(part, directory, plan)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return plan


def _move(part: Path, directory: Path, plan: Plan) -> None:
    """Put a whole spool in its place, unless another execution of the run was first."""
    if Plan.read(directory) == plan:
        return
    shutil.rmtree(directory, ignore_errors=True)
    try:
        part.replace(directory)
    except OSError:
        if Plan.read(directory) != plan:
            raise


class _Writer:
    """One pass over the source."""

    def __init__(self, how: Spooling, directory: Path, progress: Progress) -> None:
        self._how, self._directory, self._progress = how, directory, progress
        self._recipe = how.recipe
        self._files = ExitStack()
        self._rows: BinaryIO = self._open("rows.jsonl")
        self._ids = self._table("ids.sqlite")
        self._requests = self._table("requests.sqlite") if how.deduplicate else None
        self._columns = InputColumns()
        self._content = hashlib.sha256()
        self._chunks: list[ChunkPlan] = []
        self._models: dict[str, ModelShare] = {}
        self._chunk: ChunkFile | None = None
        self._count = self._duplicates = 0
        self._some_unnamed = False
        self._bad = BadRows(how.on_bad_row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()
        if self._chunk is not None:
            self._chunk.abandon()
        for name in ("ids.sqlite", "requests.sqlite"):
            (self._directory / name).unlink(missing_ok=True)

    def take(self, row: Row) -> None:
        """Put one row where it belongs."""
        self._count += 1
        self._progress.rows_read = self._count
        row_id = self._recipe.name_of(row.values)
        name = str(row.number) if row_id is None else row_id
        entry: list[object] = [NOT_SENT, name]
        why = row.problem
        if not why:
            try:
                made = self._recipe.make(row.values)
                self._check_new(name, row, is_number=made.row_id is None)
                entry = [*self._place(made, row.number), name]
            except InvalidRequestError as error:
                why = error.message
        if why:
            needs_name = row_id is None and self._ids.place_of(name) != (row.file, row.line)
            self._bad.add(row, why, needs_name=needs_name)
            self._progress.bad_rows = self._bad.skipped
        # Neither the words for a bad row nor the columns of the output make it another job.
        line = orjson.dumps(entry)
        self._content.update(line)
        if why:
            line = orjson.dumps([NOT_SENT, f"{row.place}: {why}", name])
        if self._how.include_input:
            kept = self._columns.renamed(row.values if row.kept is None else row.kept)
            line = line[:-1] + b"," + exact_json.dumps(kept) + b"]"
        self._rows.write(line + b"\n")

    def plan(self, source: RowSource) -> Plan:
        """Return what has been written, when all rows have been taken."""
        self._bad.check(self._count)
        if not self._count:
            raise SourceError(f"{source.url!r} has no rows.")
        self._close_chunk()
        for chunk in self._chunks:
            self._content.update(chunk.digest.encode())
        self._rows.flush()
        self._bad.rename(self._directory / "rows.jsonl", self._ids)
        return Plan(
            fingerprint=source.fingerprint,
            settings=self._how.settings,
            digest=self._content.hexdigest(),
            rows=self._count,
            bad_rows=self._bad.skipped,
            duplicates=self._duplicates,
            chunks=tuple(self._chunks),
            models=self._models,
            columns=self._columns.types if self._how.include_input else {},
        )

    def _check_new(self, name: str, row: Row, *, is_number: bool) -> None:
        """Refuse a row whose name in the output another one has."""
        self._some_unnamed = self._some_unnamed or is_number
        if first := self._ids.first(name, (row.file, row.line)):
            what = "the row has no id, and its number" if is_number else "id"
            why = f"{what} {name!r} was used before, in {place_in(str(first[0]), first[1])}"
            if self._some_unnamed and not is_number:
                why += "; rows without an id are called by their number, from 0"
            raise InvalidRequestError(why)

    def _place(self, made: Made, number: int) -> tuple[int, int]:
        """Return where the result of a request will be: the chunk, and the position in it."""
        params, custom_id = made.params, made.custom_id or f"task-{number}-{self._how.suffix}"
        item = item_of(custom_id, params)
        if self._chunk is None or self._is_warm_up(made) or not self._chunk.filling.has_room(item):
            if not Filling(self._how.limits).has_room(item):
                raise InvalidRequestError(
                    f"the request takes {len(item):,} bytes, and one batch holds at most "
                    f"{self._how.limits.max_bytes:,}"
                )
            # Not before it is known that the request is new.
            chunk_number, position = len(self._chunks) + (self._chunk is not None), 0
        else:
            chunk_number, position = len(self._chunks), self._chunk.filling.requests
        if self._requests is not None:
            digest = content_digest(params).digest()
            earlier = self._requests.first(digest, (chunk_number, position))
            if earlier is not None:
                self._duplicates += 1
                return int(earlier[0]), earlier[1]
        if self._chunk is None or position == 0:
            self._close_chunk()
            name = f"chunk-{len(self._chunks):05d}.json"
            self._chunk = ChunkFile(self._directory / name, self._how.limits)
        self._chunk.add(item, params, custom_id)
        if (share := self._models.get(made.model)) is None:
            share = self._models[made.model] = ModelShare()
        share.add(len(item), made.max_tokens, marks=made.marks)
        return chunk_number, position

    def _is_warm_up(self, following: Made) -> bool:
        """Whether the chunk is to hold the first request alone, and the next one gains by that."""
        filling = None if self._chunk is None else self._chunk.filling
        is_first = not self._chunks and filling is not None and filling.requests == 1
        return self._how.first_alone and is_first and following.marks.cached

    def _close_chunk(self) -> None:
        if self._chunk is not None:
            self._chunks.append(self._chunk.close())
            self._chunk = None

    def _open(self, name: str) -> BinaryIO:
        path = self._directory / name
        return self._files.enter_context(path.open("xb", buffering=_BUFFER))

    def _table(self, name: str) -> Seen:
        seen = Seen(self._directory / name)
        self._files.callback(seen.close)
        return seen
