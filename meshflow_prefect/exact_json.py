"""JSON whose whole numbers keep all their digits.

orjson knows those of 64 bits; what is longer it reads as the nearest float, and does not write.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

_LEAST, _MOST = -(2.0**63), 2.0**64
_LOOKED_INTO = {dict, list, float}


def loads(text: bytes | str) -> Any:
    """Do as `orjson.loads`, but for whole numbers of more than 64 bits, which are an int."""
    value = orjson.loads(text)
    if not lacks_digits(value):
        return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # Thousands of digits, or of brackets.
        return value


def dumps(value: Any, *, option: int | None = None) -> bytes:
    """Do as `orjson.dumps`, but write whole numbers of any length."""
    try:
        return orjson.dumps(value, option=option)
    except TypeError as error:
        if "64-bit" not in str(error):
            raise
    return orjson.dumps(_spelled_out(value), option=option)


def lacks_digits(value: Any) -> bool:
    """Whether what orjson has read holds a float that may be a whole number of too many digits."""
    if type(value) is dict and _LOOKED_INTO.isdisjoint(map(type, value.values())):
        return False
    # Not by recursion, as JSON may be nested more deeply than Python goes.
    values = [value]
    while values:
        value = values.pop()
        kind = type(value)
        if kind is dict:
            values += value.values()
        elif kind is list:
            values += value
        elif kind is float and not _LEAST < value < _MOST:
            return True
    return False


def _spelled_out(value: Any) -> Any:
    """Return a value whose long whole numbers are JSON already."""
    if isinstance(value, dict):
        return {key: _spelled_out(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled_out(item) for item in value]
    is_long = isinstance(value, int) and not _LEAST <= value < _MOST
    return orjson.Fragment(str(value)) if is_long else value
