"""One row of a results file → one `BatchResult`; rows in any order → the order of the requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.errors import MeshflowError
from meshflow_prefect.masking import without_key
from meshflow_prefect.models import RESULTS_KEPT, BatchResult
from meshflow_prefect.pricing import cost_of, tokens_of

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_NUMBERS = re.compile(r"([0-9]+)")


def parse_row(line: bytes) -> BatchResult:
    """Turn one line of a results file into a result.

    Raises `MeshflowError` when the line is not a result row. Fields and content blocks that this
    version does not know are kept in `message`; a kind of result that it does not know is an error.
    """
    try:
        row = _loaded(line)
        return _result(row["custom_id"], row["result"], line)
    # What a line of another shape does wherever it is looked into.
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        shown = without_key(line[:80].decode("utf-8", "replace"))
        raise MeshflowError(f"Not a result row ({error!r}): {shown!r}…") from None


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # JSON allows an escaped half of a surrogate pair, which no UTF-8 can hold.
        if not _SURROGATE.search(line):
            raise
        whole = json.dumps(json.loads(line), ensure_ascii=False)
        return exact_json.loads(_HALF.sub("\N{REPLACEMENT CHARACTER}", whole))


def _result(custom_id: str, result: Mapping[str, Any], line: bytes) -> BatchResult:
    if not isinstance(custom_id, str):
        raise TypeError("custom_id is not a text")
    kind = result["type"]
    if kind == "succeeded":
        return _succeeded(custom_id, result["message"], line)
    if kind == "errored":
        return _errored(custom_id, result.get("error") or {})
    if kind == "expired":
        return BatchResult(
            custom_id,
            "expired",
            error="The request had not been processed when its batch expired after 24 hours.",
            error_type="expired",
        )
    if kind == "canceled":
        return BatchResult(
            custom_id,
            "canceled",
            error="The batch was cancelled before the request was processed.",
            error_type="canceled",
        )
    if not isinstance(kind, str):
        raise TypeError("the type of the result is not a text")
    return BatchResult(
        custom_id,
        "errored",
        # Whether it was billed is not known, so this is not a 0.
        cost_usd=None,
        error=f"{kind}: this version of meshflow-prefect does not know such results.",
        error_type=kind,
    )


def missing(custom_id: str) -> BatchResult:
    """Return the result of a request that the results of its ended batch do not mention."""
    return _absent(
        custom_id, "missing", "The batch has ended, but its results hold no row for this request."
    )


def unreadable(custom_id: str, line: bytes) -> BatchResult:
    """Return the result of a request whose row, which begins like `line`, is garbled."""
    shown = without_key(line.decode("utf-8", "replace"))
    return _absent(custom_id, "unreadable_row", f"The row cannot be read: {shown!r}…")


def removed(custom_id: str, batch_id: str) -> BatchResult:
    """Return the result of a request whose row was removed together with all of its batch."""
    return _absent(
        custom_id,
        "results_expired",
        f"The results of batch {batch_id!r} were removed: Anthropic keeps them for "
        f"{RESULTS_KEPT.days} days after the batch was created.",
    )


def in_input_order(custom_ids: Sequence[str], results: Iterable[BatchResult]) -> list[BatchResult]:
    """Return exactly one result for each custom id, in the order of `custom_ids`.

    `missing` where no row mentions the request. Of two rows for one request the first counts; rows
    for unknown requests are left out.
    """
    by_id: dict[str, BatchResult] = {}
    for result in results:
        by_id.setdefault(result.custom_id, result)
    return [by_id.get(custom_id) or missing(custom_id) for custom_id in custom_ids]


def in_order_of_ids(results: Iterable[BatchResult]) -> list[BatchResult]:
    """Return all results by their custom ids, numbers in them by value: task-2 before task-10."""

    def parts(result: BatchResult) -> list[tuple[bool, int, str]]:
        # Digits and the rest alternate; the flag keeps numbers from being compared with texts.
        return [
            (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in _NUMBERS.split(result.custom_id)
        ]

    return sorted(results, key=parts)


def _absent(custom_id: str, error_type: str, error: str) -> BatchResult:
    # Whether it was billed is not known, so the cost is not a 0.
    return BatchResult(custom_id, "missing", cost_usd=None, error=error, error_type=error_type)


def _succeeded(custom_id: str, message: Mapping[str, Any], line: bytes) -> BatchResult:
    usage = message.get("usage") or {}
    model = message.get("model")
    tokens = tokens_of(usage)
    # A reply whose usage is not told has its price all the same: it is not known, and not 0.
    is_told = usage.get("input_tokens") is not None or usage.get("output_tokens") is not None
    cost = cost_of(model, usage, tokens=tokens) if model and is_told else None
    blocks = message["content"]
    texts = [block.get("text") or "" for block in blocks if block.get("type") == "text"]
    if len(texts) < len(blocks) and exact_json.lacks_digits(blocks):
        # Numbers stand in what the model gives to tools; to look through all rows would cost time.
        message = exact_json.loads(line)["result"]["message"]
    return BatchResult.of_reply(
        custom_id=custom_id,
        status="succeeded",
        output="".join(texts),
        tokens=tokens.total,
        cost_usd=None if cost is None else float(cost),
        stop_reason=message.get("stop_reason"),
        model=model,
        usage=usage,
        message=message,
    )


def _errored(custom_id: str, response: Mapping[str, Any]) -> BatchResult:
    # The kind of an error stands one level below the envelope, which is of type "error" as well. A
    # gateway may leave the envelope away.
    inner = response.get("error")
    error = inner if isinstance(inner, Mapping) else response
    kind = error.get("type") or "unknown_error"
    return BatchResult(
        custom_id,
        "errored",
        error=without_key(f"{kind}: {error.get('message') or 'no message'}"),
        error_type=kind,
    )
