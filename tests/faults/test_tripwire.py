"""The tripwire stops a call at the byte it is told: what the fault tests take for granted."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.processes import wait_until
from tests.support.tripwire import Trap, Tripwire, tripwire

BODY = b"0123456789" * 10
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + BODY + b"\r\n0\r\n\r\n"
CALL = b"POST /thing HTTP/1.1\r\nContent-Length: 11\r\n\r\nhello there"


class Server:
    """Answers each call of CALL's length, and remembers what it was sent."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.got = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/api"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        client, _ = self.listener.accept()
        with client:
            while data := client.recv(1000):
                self.got += data
                if len(self.got) % len(CALL) == 0:
                    client.sendall(self.answer)

    def close(self) -> None:
        """Return when the connection was ended by the wire."""
        self.thread.join(30)
        self.listener.close()


@contextmanager
def wired(answer: bytes) -> Iterator[tuple[Server, Tripwire, socket.socket]]:
    with closing(Server(answer)) as server, tripwire(server.url) as wire:
        port = int(re.search(r":(\d+)/api$", wire.url)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            yield server, wire, client


def received(client: socket.socket, count: int = 10_000) -> bytes:
    """What comes, until there is so much of it or the connection ends."""
    got = b""
    while len(got) < count:
        try:
            data = client.recv(count - len(got))
        except ConnectionResetError:
            break
        if not data:
            break
        got += data
    return got


def trap(pattern: bytes, moment: str, spring: Callable[[], None] = lambda: None, **how) -> Trap:
    return Trap(re.compile(pattern), spring, moment, **how)


def test_without_a_trap_everything_passes_both_ways():
    with wired(PLAIN) as (server, _, client):
        client.sendall(CALL)
        assert received(client, len(PLAIN)) == PLAIN
        assert server.got == CALL


def test_before_keeps_the_bytes_from_the_server_even_when_the_pattern_spans_two_reads():
    with wired(PLAIN) as (server, wire, client):
        armed = wire.arm(trap(b"hello there", "before"))
        head = CALL[:-5]
        client.sendall(head)
        wait_until(lambda: server.got == head, "the first read has passed", limit=30)
        client.sendall(CALL[-5:])
        armed.wait(30)
        assert received(client) == b""
    assert server.got == head


def test_after_lets_the_server_act_and_keeps_the_answer_from_the_client():
    with wired(PLAIN) as (server, wire, client):
        armed = wire.arm(trap(b"POST /thing ", "after"))
        client.sendall(CALL)
        armed.wait(30)
        assert received(client) == b""
    assert server.got == CALL


def test_only_the_chosen_occurrence_springs_it():
    with wired(PLAIN) as (server, wire, client):
        armed = wire.arm(trap(b"POST /thing ", "before", occurrence=2))
        client.sendall(CALL)
        assert received(client, len(PLAIN)) == PLAIN
        client.sendall(CALL)
        armed.wait(30)
    assert server.got == CALL


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED], ids=["plain", "chunked"])
def test_midway_passes_so_many_bytes_of_the_body(answer):
    with wired(answer) as (_, wire, client):
        armed = wire.arm(trap(b"POST /thing ", "midway", body_bytes=25))
        client.sendall(CALL)
        armed.wait(30)
        head, _, body = received(client).partition(b"\r\n\r\n")
    assert head in answer
    assert len(body) == 25


@pytest.mark.parametrize(
    ("answer", "kept"), [(PLAIN, b"9"), (CHUNKED, b"0\r\n\r\n")], ids=["plain", "chunked"]
)
def test_at_end_passes_all_but_the_last_bytes(answer, kept):
    with wired(answer) as (_, wire, client):
        armed = wire.arm(trap(b"POST /thing ", "at_end"))
        client.sendall(CALL)
        armed.wait(30)
        assert received(client) == answer.removesuffix(kept)


def test_what_the_trap_raises_is_raised_where_it_is_waited_for():
    def spring() -> None:
        raise ValueError("of the trap")

    with wired(PLAIN) as (_, wire, client):
        armed = wire.arm(trap(b"POST /thing ", "before", spring))
        client.sendall(CALL)
        with pytest.raises(ValueError, match="of the trap"):
            armed.wait(30)
