"""What every contestant is given: the same file in, the same questions, a file out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

if TYPE_CHECKING:
    from meshflow_prefect import BatchResult

T = TypeVar("T")

REQUESTS_IN_A_BATCH = 100_000


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one contestant."""

    source: str
    """A JSONL file whose rows have an `id` and a `text`."""

    destination: str
    """The file to write: one JSON object for each row, in the order of the rows."""

    figures: str
    """Where the process writes what only it can measure."""

    is_watched: bool = False
    """Whether to see for how long the event loop answers nobody."""

    model: str = "claude-haiku-4-5-20251001"
    max_tokens: int = 1024
    before_text: str = "Summarise: "
    """What stands before the text of a row in its prompt."""

    poll_seconds: float = 0.5

    @property
    def template(self) -> str:
        """The prompt as `batch_file` and the command take it."""
        return self.before_text + "{text}"

    def rows(self, loads: Any = json.loads) -> Iterator[dict[str, Any]]:
        """Read the source, row by row."""
        with Path(self.source).open("rb") as lines:
            yield from map(loads, lines)

    def write(self, lines: Iterable[bytes]) -> None:
        """Add lines to the destination."""
        with Path(self.destination).open("ab") as out:
            out.writelines(lines)

    def write_results(self, rows: Iterable[dict[str, Any]], results: Iterable[BatchResult]) -> None:
        """Add a line for each row: what the SDK's loop and the floor write of theirs."""
        self.write(
            orjson.dumps(
                {
                    "id": row["id"],
                    "output": result.output,
                    "input_tokens": result.usage["input_tokens"],
                    "output_tokens": result.usage["output_tokens"],
                }
            )
            + b"\n"
            for row, result in zip(rows, results, strict=True)
        )

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        return cls(**json.loads(text))


def in_batches(rows: Iterable[T]) -> Iterator[list[T]]:
    """Cut rows into as many as one batch takes."""
    left = iter(rows)
    while batch := list(islice(left, REQUESTS_IN_A_BATCH)):
        yield batch
