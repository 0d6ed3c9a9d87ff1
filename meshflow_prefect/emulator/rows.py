"""The results of a batch: one line for each request, written as they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, BinaryIO

import orjson

from meshflow_prefect.emulator.batches import Batch, PlannedOutcome
from meshflow_prefect.emulator.damage import Damage
from meshflow_prefect.emulator.replies import reply_to
from meshflow_prefect.emulator.store import REQUESTS, Row, Store
from meshflow_prefect.emulator.tokens import CachedTokens
from meshflow_prefect.emulator.usage import Spend
from meshflow_prefect.emulator.validation import Problem, Rules, problem_of
from meshflow_prefect.emulator.wire import error_body

_BYTES_AT_ONCE = 60 * 1024
"""With the line that comes above it less than the 64 KiB that HTTP libraries read at once, for else
each piece would be read in two."""


def rules_for(batch: Batch, extra_models: tuple[str, ...]) -> Rules:
    """Return the rules that held when a batch was created."""
    return Rules(batch.version, frozenset(batch.betas), extra_models)


async def result_lines(
    store: Store,
    batch: Batch,
    *,
    extra_models: tuple[str, ...],
    words_wanted: int | None,
    spend: Spend | None = None,
    damage: Damage | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the results file of an ended batch, in pieces.

    `spend` adds up what it bills; `damage` is done to its lines.
    """
    rules = rules_for(batch, extra_models)
    finished = batch.finished
    rest: dict[str, Any] = {"type": batch.unfinished_outcome}
    planned: dict[int, PlannedOutcome] = {}
    for each in batch.planned:
        planned.update(dict.fromkeys(each.ranks, each))
    lines: list[bytes] = []
    gathered = 0
    with (store.folder(batch.id) / REQUESTS).open("rb") as requests:
        for rank, row in enumerate(store.rows(batch.id)):
            request = _read(requests, row)
            if rank >= finished:
                result = rest
            elif (outcome := planned.get(rank)) is not None and outcome.text is None:
                result = outcome.result()
            else:
                # Not of the ids, which are random: the same calls to an emulator that is as new
                # get the same replies, byte for byte.
                unique = f"{batch.sequence}/{row.place}"
                text = None if outcome is None else outcome.text
                result = _outcome(request["params"], unique, row.cached, rules, words_wanted, text)
            if spend is not None and result["type"] == "succeeded":
                spend.add(result["message"]["model"], result["message"]["usage"])
            written = {"custom_id": request["custom_id"], "result": result}
            if damage is None:
                line = orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE)
            else:
                line = damage.line(written)
            lines.append(line)
            gathered += len(line)
            if gathered >= _BYTES_AT_ONCE:
                yield b"".join(lines)
                lines, gathered = [], 0
                # Sending does not wait while the socket takes the bytes, and other calls are due.
                await asyncio.sleep(0)
    if gathered:
        yield b"".join(lines)


def _read(requests: BinaryIO, row: Row) -> dict[str, Any]:
    requests.seek(row.offset)
    request: dict[str, Any] = orjson.loads(requests.read(row.length))
    return request


def _outcome(
    params: dict[str, Any],
    unique: str,
    cached: CachedTokens,
    rules: Rules,
    words_wanted: int | None,
    text: str | None,
) -> dict[str, Any]:
    answer: Problem | dict[str, Any] | None = problem_of(params, rules)
    if answer is None:
        answer = reply_to(
            params,
            unique=unique,
            cached=cached,
            service_tier="batch",
            words_wanted=words_wanted,
            text=text,
        )
    if isinstance(answer, Problem):
        return {"type": "errored", "error": error_body(answer.kind, answer.message, None)}
    return {"type": "succeeded", "message": answer}
