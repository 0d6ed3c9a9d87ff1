"""The file that contestants read, and the proof that what they wrote is whole and in order."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

_PARAGRAPH = (
    "The lease of the lighthouse runs until the keeper's death \u2014 or until the caf\u00e9 on "
    'the pier closes, whichever is later. "Later", says clause 7, means the later of both days.\n'
    "Repairs of the lamp are the owner's; repairs of the stairs are the keeper's, who may not let "
    "rooms, keep goats, or sell oil to passing ships without a licence of the harbour office.\n"
)
_MARK = re.compile(rb"row-(\d{7})")
_ENVELOPE = 150
"""Bytes of a request beside the text of its row."""


def write_source(path: Path, *, requests: int, size: int) -> None:
    """Write rows whose requests are about `size` bytes each, every text another one.

    The emulator quotes the first words of a prompt in its reply, so the mark at the beginning of
    each text comes back in the result of that row.
    """
    length = max(1, size - _ENVELOPE)
    shift = len(_PARAGRAPH)
    pool = _PARAGRAPH * (length // shift + 2)
    with path.open("w", encoding="utf-8") as out:
        for number in range(requests):
            begin = number * 13 % shift
            text = f"row-{number:07d} {pool[begin : begin + length - 12]}"
            out.write(json.dumps({"id": f"{number:07d}", "text": text}) + "\n")
        # Else the first contestant would share the disk with what is still on its way there.
        out.flush()
        os.fsync(out.fileno())


def verify(path: Path, *, requests: int) -> None:
    """Fail unless a file has one line for each request, in their order."""
    number = -1
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            found = _MARK.search(line)
            if found is None or int(found.group(1)) != number:
                raise AssertionError(f"Line {number + 1} is not of row {number}: {line[:200]!r}")
    if number + 1 != requests:
        raise AssertionError(f"{number + 1} lines for {requests} requests.")
