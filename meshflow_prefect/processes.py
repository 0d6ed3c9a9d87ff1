"""Whether a process that was about to send a create call has certainly ended.

Only Linux tells, and only of the machine and the container that this process is in too.
"""

from __future__ import annotations

import os
from pathlib import Path

_ENDED = ("Z", "X")
"""States of a process that does nothing any more, and is only kept for its parent to be told."""


def this_process() -> str:
    """Return what no other process, here or elsewhere, is called; empty where there is no telling.

    That is the start of the machine, the container's table of processes, the id in it, and, since
    ids are used again, the moment at which the process began.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        table = Path("/proc/self/ns/pid").readlink()
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return ""  # this is the /proc of another container
        _, began = _state_and_beginning(os.getpid())
    except OSError:
        return ""
    return f"{boot} {table} {os.getpid()} {began}"


def has_ended(process: str) -> bool:
    """Whether the process of this name has certainly ended; False where it cannot be known."""
    theirs, ours = process.split(), this_process().split()
    if not theirs or not ours or theirs[:2] != ours[:2]:
        return False
    number = int(theirs[2])
    try:
        os.kill(number, 0)  # asks whether it is there, also where /proc hides other users' ones
        state, began = _state_and_beginning(number)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return state in _ENDED or began != theirs[3]


def _state_and_beginning(number: int) -> tuple[str, str]:
    # The name comes before, in brackets, and may hold anything.
    facts = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return facts[0], facts[19]
