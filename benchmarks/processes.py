"""What /proc tells of a process and those that it started, looked at from outside."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import end_group

_TICKS = os.sysconf("SC_CLK_TCK")
_BETWEEN_LOOKS = 0.1
_BETWEEN_SAMPLES = 0.5


@dataclass
class Outcome:
    """What a process cost that has ended."""

    began: float
    """By the monotonic clock, which all processes of a machine share."""

    ended: float = 0.0
    cpu: float = 0.0
    """Seconds in user and system mode, with the children that it waited for."""

    peak: float = 0.0
    """MB that were resident at most, with its children."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    """Seconds from the beginning, and the MB resident then."""


def run_to_end(command: list[str], *, env: Mapping[str, str], log: Path) -> Outcome:
    """Run a command and watch it from outside. Raises with the end of its log when it fails."""
    with log.open("wb") as output:
        outcome = Outcome(time.monotonic())
        process = subprocess.Popen(
            command, env=dict(env), stdout=output, stderr=output, start_new_session=True
        )
        try:
            status, used = _watch(process.pid, outcome)
        except BaseException:
            end_group(process)
            raise
    outcome.ended = time.monotonic()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_bytes()[-4000:].decode("utf-8", "replace")
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{end}")
    outcome.cpu = used.ru_utime + used.ru_stime
    return outcome


def cpu_of(process_id: int) -> float:
    """Return the seconds of CPU that a process, its living children and its dead ones have used."""
    return sum(_ticks(each) for each in _family(process_id)) / _TICKS


def cpu_of_machine() -> float:
    """Return the seconds of CPU that all processes together have used since the start."""
    values = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, values)
    return (user + nice + system + irq + softirq + steal) / _TICKS


def _watch(process_id: int, outcome: Outcome) -> tuple[int, resource.struct_rusage]:
    due = 0.0
    while True:
        ended, status, used = os.wait4(process_id, os.WNOHANG)
        if ended:
            return status, used
        # Not ru_maxrss, which on Linux begins with what the parent had at the fork.
        sizes = [_memory(each) for each in _family(process_id)]
        now = time.monotonic() - outcome.began
        resident = sum(size.get("VmRSS", 0.0) for size in sizes)
        own = sizes[0].get("VmHWM", 0.0) if sizes else 0.0
        outcome.peak = max(outcome.peak, resident, own)
        if now >= due:
            outcome.memory.append((round(now, 1), round(resident)))
            due = now + _BETWEEN_SAMPLES
        time.sleep(_BETWEEN_LOOKS)


def _family(process_id: int) -> list[int]:
    found = [process_id]
    for each in found:
        try:
            threads = list(Path(f"/proc/{each}/task").iterdir())
            found += [
                int(n) for thread in threads for n in (thread / "children").read_text().split()
            ]
        except OSError:
            continue  # it has ended since
    return found


def _memory(process_id: int) -> dict[str, float]:
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return {}
    lines = [line.split() for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM"))]
    return {line[0].rstrip(":"): int(line[1]) / 1024 for line in lines}


def _ticks(process_id: int) -> int:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return 0
    return sum(int(value) for value in stat.rpartition(")")[2].split()[11:15])
