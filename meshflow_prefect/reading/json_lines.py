"""JSON lines → rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.errors import SourceError
from meshflow_prefect.reading.opening import opened_text
from meshflow_prefect.reading.rows import Row, SourceFile

_NOTHING: dict[str, Any] = {}
_KINDS = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}


def check_json_lines(filesystem: Any, file: SourceFile) -> None:
    """Raise `SourceError` for a `.json` file that does not hold one object a line."""
    if file.ending == ".json":
        with opened_text(filesystem, file) as stream:
            _refuse_one_document(file, stream)


def json_line_rows(filesystem: Any, file: SourceFile, first: int) -> Iterator[Row]:
    """Yield the rows of a file of JSON lines; `first` is the number of the first one."""
    with opened_text(filesystem, file) as stream:
        yield from _rows(stream, file.name, first)


def _rows(stream: io.BufferedReader, name: str, number: int) -> Iterator[Row]:
    loads = exact_json.loads
    # The lines of a binary file end at b"\n" only, not at the U+2028 or U+0085 of a text.
    for line_number, line in enumerate(stream, 1):
        try:
            values = loads(line)
        except orjson.JSONDecodeError as error:
            if not line.strip():
                continue
            yield Row(number, name, line_number, _NOTHING, _problem(line, error))
        else:
            if type(values) is dict:
                yield Row(number, name, line_number, values)
            else:
                kind = _KINDS.get(type(values), "a number")
                yield Row(number, name, line_number, _NOTHING, f"not a JSON object but {kind}")
        number += 1


def _problem(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as wrong:
        return f"not UTF-8: byte 0x{line[wrong.start]:02x} at position {wrong.start + 1}"
    return f"bad JSON: {error.msg} at column {min(error.pos, len(text.rstrip())) + 1}"


def _refuse_one_document(file: SourceFile, stream: io.BufferedReader) -> None:
    start = next((line.strip() for line in stream if line.strip()), b"")
    # An object that is laid out over several lines starts with a line that is no JSON.
    if start.startswith(b"[") or start == b"{":
        raise SourceError(
            f"{file.name!r} holds one JSON document; write one object a line, for example with "
            "`jq -c '.[]' rows.json > rows.jsonl`.",
            url=file.name,
        )
