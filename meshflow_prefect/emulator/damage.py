"""Damage to the file of results, line by line as it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from meshflow_prefect.emulator.row_faults import DamageFault, DamageKind

_SEPARATORS = ("\u2028", "\u0085")


class Damage:
    """The damage to one reading of results."""

    def __init__(self, faults: Sequence[DamageFault]) -> None:
        self._faults = faults
        self._written = 0

    def line(self, row: dict[str, Any]) -> bytes:
        """Return what stands in the file for the next row."""
        place, custom_id = self._written, row["custom_id"]
        self._written += 1
        for fault in self._faults:
            if fault.rows.includes(place, custom_id):
                return _damaged(row, fault.damage)
        return _line(row)


def _damaged(row: dict[str, Any], damage: DamageKind) -> bytes:
    if damage == "forget":
        return b""
    if damage == "rename":
        return _line({**row, "custom_id": f"unknown-{row['custom_id']}"})
    if damage == "line_separator":
        return _line({**row, "result": _separated(row["result"])})
    line = _line(row)
    if damage == "repeat":
        return line + line
    return b"!" + line[1:] if damage == "corrupt" else line[: len(line) // 2] + b"\n"


def _line(row: dict[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _separated(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with the separators in its text; one without any text has none."""
    if result["type"] == "errored":
        error = result["error"]["error"]
        told = {**error, "message": _with_separators(error["message"])}
        return {**result, "error": {**result["error"], "error": told}}
    if result["type"] != "succeeded":
        return result
    content = [
        {**block, "text": _with_separators(block["text"])} if block["type"] == "text" else block
        for block in result["message"]["content"]
    ]
    return {**result, "message": {**result["message"], "content": content}}


def _with_separators(text: str) -> str:
    """Put them where spaces are, so that a reply in JSON stays one."""
    for separator in _SEPARATORS:
        text = text.replace(" ", separator, 1) if " " in text else text + separator
    return text
