"""A batch passes through the emulator without ever being held in memory."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from meshflow_prefect.emulator import EmulatorClient
from tests.emulator.wire import BATCHES, client_of, params

_ROWS = 10_000
_MEGABYTE = 1024


def _body() -> Iterator[bytes]:
    yield b'{"requests":['
    for n in range(_ROWS):
        request = {"custom_id": f"row-{n}", "params": params(f"{n} " + "long text " * 240)}
        yield (b"," if n else b"") + orjson.dumps(request)
    yield b"]}"


def _peak_kilobytes(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found.group(1))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
def test_a_body_of_25_megabytes_costs_less_than_ten_of_memory() -> None:
    code = "from meshflow_prefect.emulator import *; serve(EmulatorSettings())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        emulator = EmulatorClient(it.stdout.readline().split()[-1])
        try:
            emulator.state()
            before = _peak_kilobytes(it.pid)
            with client_of(emulator) as api:
                batch = api.post(BATCHES, content=_body()).json()
                assert batch["request_counts"]["processing"] == _ROWS
                emulator.end(batch["id"])
                with api.stream("GET", f"{BATCHES}/{batch['id']}/results") as answer:
                    rows = sum(piece.count(b"\n") for piece in answer.iter_bytes())
            assert rows == _ROWS
            assert _peak_kilobytes(it.pid) - before < 10 * _MEGABYTE
        finally:
            it.terminate()
