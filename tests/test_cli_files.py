"""From a file to a file on the command line, as a process of its own: run, killed, estimated."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from meshflow_prefect.emulator import Emulator
from meshflow_prefect.pricing import cost_of
from tests.support.files import PROMPT, counting, numbers, read_rows, sizes, write_rows
from tests.support.jobs import stepped
from tests.support.processes import wait_until
from tests.support.shell import Shell, retrieved, shell_in


@pytest.fixture
def emulator(anthropic_emulator: Emulator) -> Emulator:
    return anthropic_emulator


@pytest.fixture
def shell(stack, emulator, tmp_path) -> Iterator[Shell]:
    with shell_in(tmp_path, stack, emulator) as running:
        yield running


def source_of(folder: Path, count: int) -> str:
    write_rows(folder / "in.jsonl", counting(count))
    return "in.jsonl"


ASKED = ("-o", "out.jsonl", "-p", PROMPT, "--poll-interval", "0.1")


def billed(emulator: Emulator) -> Decimal:
    costs = [cost_of(model, usage) for model, usage in emulator.spend().items()]
    return sum((cost for cost in costs if cost is not None), Decimal(0))


def test_a_file_in_and_a_file_out_and_the_figures_as_json(emulator, shell, tmp_path):
    (tmp_path / "in.csv").write_text("n,note\n" + "".join(f"{n},é\n" for n in range(9)))

    out, err = shell.run(
        "run", "in.csv", *ASKED, "--include-input", "--max-requests-per-batch", "4",
        "-m", "claude-opus-5", "--max-tokens", "60", "--params", '{"stop_sequences": ["]"]}',
    )  # fmt: skip

    rows = read_rows(tmp_path / "out.jsonl")
    figures = json.loads(out)
    assert numbers(rows) == list(range(9))
    assert {(row["note"], row["model"]) for row in rows} == {("é", "claude-opus-5")}
    assert sizes(emulator) == [4, 4, 1]
    assert (figures["rows"], figures["succeeded"], figures["failed"]) == (9, 9, 0)
    assert figures["batch_ids"] == [batch["id"] for batch in emulator.batches()[::-1]]
    assert figures["cost_usd"] == pytest.approx(float(billed(emulator)))
    assert "9 rows of in.csv: 9 succeeded; 3 batches" in err
    assert list((tmp_path / "spools").iterdir()) == []


@stepped
def test_killed_after_the_submission_and_given_again_it_collects_the_same_batches(
    emulator, shell, tmp_path
):
    command = ("run", source_of(tmp_path, 6), *ASKED, "--max-requests-per-batch", "2")
    process = shell.start(*command)
    wait_until(lambda: retrieved(emulator), "the first command waits", limit=90)
    made = [batch["id"] for batch in emulator.batches()]
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert not (tmp_path / "out.jsonl").exists()

    seen = retrieved(emulator)
    # It is the content that counts: not when it was written, nor how its place is spelled.
    os.utime(tmp_path / "in.jsonl")
    again = shell.start("run", str(tmp_path / "in.jsonl"), *command[2:])
    wait_until(lambda: retrieved(emulator) > seen, "the second command waits too", limit=90)
    emulator.advance(61)
    out, _ = shell.end(again)

    assert len(made) == 3
    assert [batch["id"] for batch in emulator.batches()] == made
    assert json.loads(out)["batch_ids"] == made[::-1]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))


@stepped
def test_a_source_that_has_changed_since_a_kill_is_not_paid_for_anew(emulator, shell, tmp_path):
    command = ("run", source_of(tmp_path, 6), *ASKED, "--max-requests-per-batch", "2")
    process = shell.start(*command)
    wait_until(lambda: retrieved(emulator), "the first command waits", limit=90)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)

    source_of(tmp_path, 7)
    _, err = shell.run(*command, code=1)
    assert "'in.jsonl' is not what it was when this command was stopped" in err
    assert "it had submitted 3 batches" in err
    assert sizes(emulator) == [2, 2, 2]

    source_of(tmp_path, 6)
    emulator.advance(61)
    shell.run(*command)
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))
    assert sizes(emulator) == [2, 2, 2]


@stepped
def test_killed_after_its_output_was_written_it_says_how_the_job_has_ended(
    emulator, shell, tmp_path
):
    command = ("run", source_of(tmp_path, 6), *ASKED)
    output = tmp_path / "out.jsonl"
    process = shell.start(*command)
    wait_until(lambda: retrieved(emulator), "the command waits", limit=90)
    # It cannot tell that to Prefect, and so does not come to its end.
    emulator.advance(61)
    wait_until(output.exists, "the output is there", limit=90, pause=0.001)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    written = output.read_bytes()

    out, _ = shell.run(*command)

    assert json.loads(out)["succeeded"] == 6
    assert output.read_bytes() == written
    assert sizes(emulator) == [6]


@stepped
def test_given_again_with_other_limits_it_does_not_pay_for_the_rows_once_more(
    emulator, shell, tmp_path
):
    command = ("run", source_of(tmp_path, 6), *ASKED, "--max-requests-per-batch")
    process = shell.start(*command, "2")
    wait_until(lambda: retrieved(emulator), "the first command waits", limit=90)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)

    _, err = shell.run(*command, "3", code=1)
    assert "in batches of other limits" in err
    assert sizes(emulator) == [2, 2, 2]

    emulator.advance(61)
    # What changes no request changes nothing.
    shell.run(*command, "2", "--on-bad-row", "skip")
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(6))
    assert sizes(emulator) == [2, 2, 2]


@stepped
def test_a_job_key_or_the_end_of_the_job_lets_a_changed_source_be_submitted(
    emulator, shell, tmp_path
):
    command = ("run", source_of(tmp_path, 2), *ASKED, "--overwrite")

    def submits(batches: int, *more: str) -> None:
        process = shell.start(*command, *more)
        wait_until(lambda: len(sizes(emulator)) == batches, "a batch more is made", limit=90)
        wait_until(lambda: retrieved(emulator), "the command waits", limit=90)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    submits(1)
    source_of(tmp_path, 3)
    submits(2, "--job-key", "tonight")
    emulator.advance(61)
    shell.run(*command, "--job-key", "tonight")
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(3))
    source_of(tmp_path, 4)
    submits(3)
    assert sizes(emulator) == [2, 3, 4]


@pytest.mark.anthropic_emulator(batch_seconds=0.2)
def test_killed_between_two_batches_it_goes_on_with_the_next(emulator, shell, tmp_path):
    """The create call of the third batch is held, before there is a batch."""
    emulator.plan({"on": "create", "skip": 2, "hold": "before"})
    command = ("run", source_of(tmp_path, 8), *ASKED)
    command += ("--max-requests-per-batch", "2", "--max-requests-in-queue", "2")
    process = shell.start(*command)
    wait_until(lambda: emulator.faults()[0]["held"], "the third create call is held", limit=90)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    emulator.clear_faults()
    made = [batch["id"] for batch in emulator.batches()]

    out, _ = shell.run(*command)

    assert len(made) == 2
    assert sizes(emulator) == [2, 2, 2, 2]
    assert json.loads(out)["batch_ids"][:2] == made[::-1]
    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(8))


def test_a_disk_that_cannot_be_written_is_one_line_and_exit_code_1(emulator, shell, tmp_path):
    (tmp_path / "file").touch()
    spool = str(tmp_path / "file" / "spool")
    _, err = shell.run("run", source_of(tmp_path, 2), *ASKED, code=1, MESHFLOW_SPOOL=spool)

    assert "Not a directory" in err
    assert spool in err
    assert "Traceback" not in err
    assert emulator.batches() == []


def test_an_argument_that_is_no_text_is_told(shell):
    _, err = shell.run("run", os.fsdecode(b"a\xff.jsonl"), *ASKED, code=2)

    assert err.strip() == "'a\\udcff.jsonl': not UTF-8."


@stepped
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_says_that_the_batches_go_on(emulator, shell, tmp_path, sent, code):
    process = shell.start("run", source_of(tmp_path, 2), *ASKED)
    wait_until(lambda: retrieved(emulator), "the command waits", limit=90)

    process.send_signal(sent)
    _, err = shell.end(process, code=code)

    assert "What was submitted goes on at Anthropic; the same command collects it." in err
    assert "Traceback" not in err
    assert [batch["status"] for batch in emulator.batches()] == ["in_progress"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--max-cost-usd", "0.0001"), "may cost up to US$"),
        (("--prompt", "{other}"), "in.jsonl, line 1, line 2, line 3: column 'other' is missing"),
        (("--params", "[1]"), "--params: expected a JSON object"),
        (("-o", "there.jsonl"), "'there.jsonl' exists"),
    ],
    ids=["budget", "bad rows", "params", "exists"],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_1(emulator, shell, tmp_path, options, why):
    (tmp_path / "there.jsonl").touch()
    asked = dict(zip(ASKED[::2], ASKED[1::2], strict=True))
    names = {"--prompt": "-p"}
    asked |= {names.get(options[0], options[0]): options[1]}

    out, err = shell.run(
        "run", source_of(tmp_path, 3), *(word for pair in asked.items() for word in pair), code=1
    )

    assert why in err
    assert "Traceback" not in err
    assert out == ""
    assert emulator.batches() == []


def test_more_failed_rows_than_allowed_are_exit_code_1_and_the_output_is_there(
    emulator, shell, tmp_path
):
    emulator.plan(
        {"on": "rows", "custom_id": "task-1-*", "outcome": "errored", "error": "not_found_error"}
    )

    _, err = shell.run("run", source_of(tmp_path, 4), *ASKED, "--failure-threshold", "0.2", code=1)

    assert "1 of 4 rows failed, more than the 20.0% allowed" in err
    assert "Traceback" not in err
    assert [row["succeeded"] for row in read_rows(tmp_path / "out.jsonl")] == [
        True, False, True, True,
    ]  # fmt: skip


def test_an_estimate_contains_what_is_charged(emulator, shell, tmp_path):
    source = source_of(tmp_path, 30)

    out, err = shell.run("estimate", source, "-p", PROMPT, "--max-requests-per-batch", "20")
    assert emulator.batches() == []
    shell.run("run", source, *ASKED, "--max-requests-per-batch", "20")

    found = json.loads(out)
    assert (found["rows"], found["requests"], found["batches"]) == (30, 30, 2)
    assert found["batches"] == len(emulator.batches())
    assert found["least_usd"] <= billed(emulator) <= found["most_usd"]
    tokens = sum(usage["input_tokens"] for usage in emulator.spend().values())
    assert tokens <= found["most_input_tokens"]
    assert found["input_tokens"] == pytest.approx(tokens, rel=0.1)
    assert "30 requests in 2 batches" in err


def test_a_model_has_the_prices_of_the_environment(emulator, shell, tmp_path):
    command = ("run", source_of(tmp_path, 3), *ASKED, "--max-cost-usd", "1", "-m")
    _, err = shell.run(*command, "claude-next", code=1)
    assert "MESHFLOW_PRICES" in err

    shell.env["MESHFLOW_PRICES"] = '{"claude-next": {"input": 2}}'
    _, err = shell.run(*command, "claude-next", code=1)
    assert "Price of 'claude-next': output: is missing" in err
    assert emulator.batches() == []

    # The emulator knows the models of the list alone.
    shell.env["MESHFLOW_PRICES"] = '{"claude-opus-5": {"input": 2, "output": 10}}'
    out, _ = shell.run(*command, "claude-opus-5")
    usage = emulator.spend()["claude-opus-5"]
    tokens = 2 * usage["input_tokens"] + 10 * usage["output_tokens"]
    assert json.loads(out)["cost_usd"] == pytest.approx(tokens / 1_000_000 / 2)


def test_without_a_prefect_server_it_brings_its_own(emulator, shell, tmp_path):
    del shell.env["PREFECT_API_URL"]
    shell.env["PREFECT_HOME"] = str(tmp_path / "home")

    shell.run("run", source_of(tmp_path, 3), *ASKED)

    assert numbers(read_rows(tmp_path / "out.jsonl")) == list(range(3))
    assert sizes(emulator) == [3]


def test_where_no_row_succeeds_the_exit_code_says_so(emulator, shell, tmp_path):
    emulator.plan({"on": "rows", "outcome": "errored", "error": "not_found_error"})

    out, err = shell.run("run", source_of(tmp_path, 3), *ASKED, code=1)

    assert json.loads(out)["statuses"] == {"errored": 3}
    assert "None of the 3 rows succeeded" in err
    assert len(read_rows(tmp_path / "out.jsonl")) == 3


def test_without_a_key_an_estimate_is_made_from_the_bytes_and_says_so(emulator, shell, tmp_path):
    del shell.env["ANTHROPIC_API_KEY"]
    source = Path(source_of(tmp_path, 30))
    spools = tmp_path / "spools"

    out, err = shell.run(
        *("estimate", f"file://{source}", "-p", PROMPT, "--warm-cache"), MESHFLOW_SPOOL=str(spools)
    )

    found = json.loads(out)
    assert (found["counted"], found["requests"]) == (0, 30)
    assert 0 < found["least_usd"] < found["most_usd"]
    assert "the API could not count them" in err
    assert found["source"] == str(source)
    assert list(spools.iterdir()) == []
