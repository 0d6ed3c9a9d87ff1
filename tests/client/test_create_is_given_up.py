"""A create call ends by its time, whatever the server, the network or the process does."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from meshflow_prefect import AnthropicBatchClient, BatchRequest, SubmissionUnknownError
from meshflow_prefect.chunking import make_chunk
from tests.support.jobs import KEY, numbered

SENDS_MUCH = """
import asyncio
from datetime import UTC, datetime, timedelta
from meshflow_prefect import AnthropicBatchClient, BatchRequest, MeshflowError
from meshflow_prefect.chunking import make_chunk

chunk = make_chunk([BatchRequest(f"row-{n}", "word " * 200_000) for n in range(40)])

async def send():
    async with AnthropicBatchClient() as client:
        await client.connect()
        await client.create(chunk, until=datetime.now(UTC) + timedelta(seconds=6))

try:
    asyncio.run(send())
except MeshflowError as error:
    print(type(error).__name__)
"""


class SlowServer:
    """Reads the head of a call, and of its body only what it is told to."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.called, self._go_on = threading.Event(), threading.Event()
        self.announced = self.body = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def read_on(self) -> None:
        """Read all that still comes."""
        self._go_on.set()
        self._thread.join(60)

    def close(self) -> None:
        self._go_on.set()
        self._socket.close()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            seen = b""
            while b"\r\n\r\n" not in seen:
                seen += connection.recv(4096)
            head, _, rest = seen.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None
            self.announced, self.body = int(length[1]), len(rest)
            self.called.set()
            self._go_on.wait()
            try:
                while data := connection.recv(1 << 20):
                    self.body += len(data)
            except ConnectionResetError:
                pass


@pytest.fixture
def slow_server() -> Iterator[SlowServer]:
    server = SlowServer()
    yield server
    server.close()


async def test_a_create_call_without_an_answer_is_given_up_in_time(slow_server):
    began = time.monotonic()
    async with AnthropicBatchClient(KEY, base_url=slow_server.url, timeout=1) as client:
        with pytest.raises(SubmissionUnknownError, match="there may be a batch"):
            await client.submit(numbered(2))
    assert time.monotonic() - began < 30


def test_a_larger_body_has_more_time():
    client = AnthropicBatchClient(KEY, timeout=10)
    small = make_chunk(numbered(1))
    large = make_chunk([BatchRequest("row-0", "x" * 2_000_000)])
    assert client.create_seconds(small) == pytest.approx(10, abs=0.01)
    assert client.create_seconds(large) == pytest.approx(30, abs=0.1)


def test_a_process_that_stood_still_amid_its_create_call_does_not_end_it_later(slow_server):
    env = {**os.environ, "ANTHROPIC_BASE_URL": slow_server.url, "ANTHROPIC_API_KEY": KEY}
    with subprocess.Popen(
        [sys.executable, "-c", SENDS_MUCH], env=env, stdout=subprocess.PIPE, text=True
    ) as sender:
        assert slow_server.called.wait(60)
        sender.send_signal(signal.SIGSTOP)
        # It is the time that is to pass, so there is nothing to wait on.
        time.sleep(7)
        sender.send_signal(signal.SIGCONT)
        slow_server.read_on()
        said, _ = sender.communicate(timeout=60)

    assert said.strip() == "SubmissionUnknownError"
    assert slow_server.body < slow_server.announced
