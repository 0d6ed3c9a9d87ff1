"""From a folder of documents to a file on the command line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from meshflow_prefect.emulator import Emulator
from tests.support.documents import INSTRUCTION, UNREADABLE, mixed
from tests.support.files import read_rows, sizes
from tests.support.jobs import stepped
from tests.support.processes import wait_until
from tests.support.shell import Shell, retrieved, shell_in


@pytest.fixture
def emulator(anthropic_emulator: Emulator) -> Emulator:
    return anthropic_emulator


@pytest.fixture
def shell(stack, emulator, tmp_path) -> Iterator[Shell]:
    mixed(tmp_path / "in")
    (tmp_path / "empty").mkdir()
    with shell_in(tmp_path, stack, emulator) as running:
        yield running


ASKED = ("documents", "in", "-o", "out.jsonl", "-i", INSTRUCTION, "--poll-interval", "0.1")


def test_a_folder_in_and_a_file_out_and_the_figures_as_json(emulator, shell, tmp_path):
    (tmp_path / "form.json").write_text(
        '{"type": "object", "properties": {"about": {"type": "string"}}, "required": ["about"], '
        '"additionalProperties": false}'
    )

    out, err = shell.run(
        *ASKED[:4], "-i", "What is this about?", *ASKED[6:],
        "--output-type", "form.json", "--max-requests-per-batch", "4",
    )  # fmt: skip

    rows, figures = read_rows(tmp_path / "out.jsonl"), json.loads(out)
    assert [row["custom_id"] for row in rows if not row["succeeded"]] == [*UNREADABLE]
    assert (figures["rows"], figures["bad_rows"]) == (12, 5)
    assert sizes(emulator) == [4, 3]
    assert "12 rows of in: " in err
    assert {type(row["parsed"]) for row in rows if row["succeeded"]} == {dict}


@stepped
def test_killed_after_the_submission_and_given_again_it_collects_the_same_batches(
    emulator, shell, tmp_path
):
    process = shell.start(*ASKED)
    wait_until(lambda: retrieved(emulator), "the first command waits", limit=90)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL

    seen = retrieved(emulator)
    again = shell.start(*ASKED)
    wait_until(lambda: retrieved(emulator) > seen, "the second command waits too", limit=90)
    emulator.advance(61)
    out, _ = shell.end(again)

    assert sizes(emulator) == [7]
    assert json.loads(out)["succeeded"] == 7
    assert len(read_rows(tmp_path / "out.jsonl")) == 12


def test_what_cannot_be_run_is_one_line_and_exit_code_1(emulator, shell):
    for more, why in (
        (("documents", "empty", *ASKED[2:]), "empty': there are no files."),
        ((*ASKED, "--on-bad-row", "raise"), "5 of 12 rows cannot be sent: in/bad/1.pdf: it is enc"),
        ((*ASKED, "--output-type", "nothing:Here"), "'nothing:Here' cannot be imported where this"),
    ):
        out, err = shell.run(*more, code=1)
        assert why in err
        assert "Traceback" not in err
        assert out == ""
    assert emulator.batches() == []
