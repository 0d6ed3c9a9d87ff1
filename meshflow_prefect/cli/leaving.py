"""A command that is told to stop leaves in time, whatever becomes of the signal inside of it.

A signal is raised as an exception wherever the program is, and may be lost there: in a callback, in
a finalizer. And a terminal sends Ctrl-C to the server that Prefect has started for the command too;
without an answer from that, Prefect may wait for ever. All that has to be kept is kept by then.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread, Timer
from types import FrameType

STOPPED = "Stopped. What was submitted goes on at Anthropic; the same command collects it."

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

_LONGEST_END = 15.0
"""Seconds from a signal to the end of the command."""


@contextmanager
def leaving_in_time() -> Iterator[None]:
    """Raise `TerminationSignal` at a SIGTERM while the block runs; leave some time after a signal.

    A second Ctrl-C is not waited for.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # Python writes the number of each signal there, whoever handles it, and wherever.
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGTERM, _terminated)
    Thread(target=_watch, args=(reader,), daemon=True, name="leaving").start()
    try:
        yield
    finally:
        # What follows may take as long as it does without a signal; after one it may not.
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGTERM, handler)
        writer.close()


def _terminated(number: int, _frame: FrameType | None) -> None:
    from prefect.exceptions import TerminationSignal

    raise TerminationSignal(signal=number)


def _watch(reader: socket.socket) -> None:
    is_leaving = False
    while received := reader.recv(1):
        number = received[0]
        if number == signal.SIGINT and is_leaving:
            _leave(number)
        if number in EXIT_CODES and not is_leaving:
            is_leaving = True
            last = Timer(_LONGEST_END, _leave, (number,))
            last.daemon = True
            last.start()
    reader.close()


def _leave(number: int) -> None:
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    print(f"{show_cursor}{STOPPED}", file=sys.stderr, flush=True)
    os._exit(EXIT_CODES[signal.Signals(number)])
