"""A cost gate on the command line, as CI runs it: by its exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshflow_prefect.emulator import Emulator
from tests.support.files import sizes, write_rows
from tests.support.jobs import stepped
from tests.support.processes import free_port, wait_until
from tests.support.shell import COMMAND, Shell, retrieved, shell_in

SHORT, LONG = "Describe {topic}. [[words 10]]", "Describe {topic}. [[words 40]]"


@pytest.fixture
def emulator(anthropic_emulator: Emulator) -> Emulator:
    return anthropic_emulator


@pytest.fixture
def shell(stack, emulator, tmp_path) -> Iterator[Shell]:
    write_rows(
        tmp_path / "set.jsonl", [{"id": f"[case] {n}", "topic": f"lamp {n}"} for n in range(6)]
    )
    with shell_in(tmp_path, stack, emulator) as running:
        yield running


def asked(*more: str, prompt: str = SHORT) -> tuple[str, ...]:
    given = ("cost-gate", "set.jsonl", "--baseline", "baseline.json", "--poll-interval", "0.1")
    return (*given, "-p", prompt, *more)


CI = """\
set -eu
{gate} --prompt "$PROMPT"
echo released
"""


def test_a_script_of_ci_goes_on_or_ends_by_the_exit_code_of_the_gate(emulator, shell, tmp_path):
    shell.run(*asked("--update-baseline"))
    command = [*COMMAND, *asked()[:-2]]
    (tmp_path / "ci.sh").write_text(CI.format(gate=shlex.join(command)))

    def ci(prompt: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "ci.sh"],
            cwd=tmp_path,
            env=shell.env | {"PROMPT": prompt, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
        )

    passing, failing = ci(SHORT), ci(LONG)

    assert (passing.returncode, failing.returncode) == (0, 1), passing.stderr + failing.stderr
    assert passing.stdout.endswith("released\n")
    assert "released" not in failing.stdout
    figures = json.loads(failing.stdout)
    assert figures["passed"] is False
    assert [check["name"] for check in figures["checks"] if not check["passed"]] == [
        "cost", "output tokens",
    ]  # fmt: skip
    assert "│ US$ 0." in failing.stderr
    assert "TOO MUCH" in failing.stderr
    assert "Grew most" in failing.stderr
    assert "│ [case] 0 │" in failing.stderr
    assert "set.jsonl takes more than its baseline in 'baseline.json' allows" in failing.stderr
    assert "Traceback" not in failing.stderr
    # Each measures anew: what the model does may have changed, whatever the files.
    assert sizes(emulator) == [6, 6, 6]


def test_the_tolerances_are_shares_and_an_update_takes_what_there_is(shell, tmp_path):
    out, err = shell.run(*asked("--update-baseline"))
    assert json.loads(out)["updated"] is True
    assert "6 cases of set.jsonl by claude-haiku-4-5-20251001\n" in err
    assert "Cost gate: baseline stored\n" in err
    assert "│ at standard price │" in err

    shell.run(*asked("--tolerance", "400%", "--token-tolerance", "none", prompt=LONG))
    shell.run(*asked("--tolerance", "0.01", prompt=LONG), code=1)
    kept = (tmp_path / "baseline.json").read_bytes()
    shell.run(*asked("--update-baseline", prompt=LONG))
    assert (tmp_path / "baseline.json").read_bytes() != kept


@stepped
def test_killed_after_the_submission_and_given_again_it_does_not_pay_again(emulator, shell):
    command = asked("--update-baseline")
    process = shell.start(*command)
    wait_until(lambda: retrieved(emulator), "the first command waits", limit=90)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert not (shell.folder / "baseline.json").exists()
    # As in CI, where every job has its own copy of the files.
    (shell.folder / "set.jsonl").touch()

    seen = retrieved(emulator)
    again = shell.start(*command)
    wait_until(lambda: retrieved(emulator) > seen, "the second command waits too", limit=90)
    emulator.advance(61)
    _, err = shell.end(again)

    assert "An earlier command was stopped: going on where it was." in err
    assert sizes(emulator) == [6]
    third = shell.start(*asked())
    wait_until(lambda: len(emulator.batches()) == 2, "the next command measures anew", limit=90)
    emulator.advance(61)
    _, err = shell.end(third)
    assert "An earlier command" not in err


def test_what_cannot_be_tried_is_one_line_and_exit_code_2(emulator, shell, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    for more, why in (
        ((), "There is no baseline in 'baseline.json' yet"),
        (("--tolerance", "much"), "--tolerance: expected a share such as 10% or 0.1"),
        (("--params", "[1]"), "--params: expected a JSON object"),
        (("--output-type", "none.json"), "--output-type none.json: cannot be read"),
        (("--output-type", "bad.json"), "--output-type bad.json: not JSON"),
        (("--prompt", "{other}"), "set.jsonl, line 1: column 'other' is missing"),
    ):
        out, err = shell.run(*asked()[:-2], *(("-p", SHORT) if "--prompt" not in more else ()),
                             *more, code=2)  # fmt: skip
        assert why in err
        assert "Traceback" not in err
        assert out == ""
    _, err = shell.run("cost-gate", "set.jsonl", "--tolerence", "1", code=2)
    assert "Traceback" not in err
    away = {
        "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
        "PREFECT_CLIENT_MAX_RETRIES": "0",
    }
    _, err = shell.run(*asked("--update-baseline"), **away, code=2)
    assert f"The Prefect API at {away['PREFECT_API_URL']}/ cannot be reached" in err
    assert "Traceback" not in err
    assert emulator.batches() == []


def test_a_baseline_of_another_model_and_a_run_without_replies_are_exit_code_2(
    emulator, shell, tmp_path
):
    shell.run(*asked("--update-baseline"))
    _, err = shell.run(*asked("-m", "claude-opus-5"), code=2)
    assert "is of claude-haiku-4-5-20251001, and this run asks claude-opus-5" in err
    assert sizes(emulator) == [6]

    emulator.plan({"on": "rows", "outcome": "errored", "error": "not_found_error"})
    _, err = shell.run(*asked("--update-baseline"), code=2)
    assert "None of the 6 cases has a reply" in err


def test_an_output_type_is_found_in_the_folder(shell, tmp_path):
    (tmp_path / "form.py").write_text(
        "from pydantic import BaseModel\n\n\nclass Form(BaseModel):\n    total: int\n"
    )
    prompt = '{topic} [[reply: {{"total": 1}}]]'
    out, _ = shell.run(*asked("--update-baseline", "--output-type", "form:Form", prompt=prompt))
    assert json.loads(out)["figures"]["failed"] == 0
    assert Path(tmp_path / "baseline.json").exists()
