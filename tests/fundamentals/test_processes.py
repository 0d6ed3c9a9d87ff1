"""Whether a process has certainly ended: never said of one that may go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from meshflow_prefect.processes import has_ended, this_process

SAYS_ITS_NAME = """
from meshflow_prefect.processes import this_process
print(this_process(), flush=True)
input()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SAYS_ITS_NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_this_process_has_not_ended():
    assert this_process()
    assert not has_ended(this_process())


def test_a_process_has_not_ended_while_it_lives_and_while_it_is_stopped(child):
    name = name_of(child)
    assert not has_ended(name)

    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)

    assert not has_ended(name)


def test_a_killed_process_has_ended_before_and_after_its_parent_has_taken_note(child):
    name = name_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(name)

    child.wait()

    assert has_ended(name)


@pytest.mark.parametrize(("fact", "ended"), [(0, False), (1, False), (3, True)])
def test_one_of_another_machine_or_container_is_not_known_and_an_id_may_be_used_again(fact, ended):
    facts = this_process().split()
    facts[fact] = "other"
    assert has_ended(" ".join(facts)) is ended


def test_a_process_without_a_name_is_not_known():
    assert not has_ended("")
