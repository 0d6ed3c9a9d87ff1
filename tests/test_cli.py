"""The command line, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from meshflow_prefect import AnthropicBatchClient, BatchRequest, __version__
from meshflow_prefect.emulator import EmulatorClient
from tests.support.processes import end_group, free_port, wait_until

FULL = Path("/dev/full")
COMMAND = [sys.executable, "-m", "meshflow_prefect.cli"]


@pytest.fixture
def run(anthropic_emulator):
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=os.environ | {"COLUMNS": "200"} | env,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


async def submitted(emulator, *ids: str) -> str:
    async with AnthropicBatchClient() as client:
        return await client.submit([BatchRequest(name, "Hello.") for name in ids or ("a", "b")])


def test_the_version(run):
    assert run("--version").stdout.strip() == __version__


@pytest.mark.skipif(not FULL.exists(), reason="has no device that is full")
@pytest.mark.parametrize("arguments", [["--version"], ["list", "--help"], ["list"]])
def test_an_output_on_a_full_disk_is_one_line(anthropic_emulator, arguments):
    with FULL.open("w") as full:
        said = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE)

    assert said.stderr == b"[Errno 28] No space left on device\n"
    assert said.returncode == 1


@pytest.mark.parametrize("arguments", [["--version"], ["list", "more"], ["status", "none"]])
def test_a_command_ends_without_a_look_at_all_that_was_loaded(anthropic_emulator, arguments):
    code = (
        "import atexit, gc\n"
        "from meshflow_prefect.cli import main\n"
        "atexit.register(lambda: print(len(gc.get_objects()), gc.get_freeze_count()))\n"
        "main()"
    )
    said = subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
    looked_at, left_alone = map(int, said.stdout.split()[-2:])
    assert looked_at < left_alone / 10


@pytest.mark.anthropic_emulator(clock="stepped")
async def test_a_batch_from_list_to_results(run, anthropic_emulator):
    batch_id = await submitted(anthropic_emulator)
    assert batch_id in run("list").stdout
    assert json.loads(run("status", batch_id).stdout)["status"] == "in_progress"
    anthropic_emulator.end(batch_id)

    rows = [json.loads(line) for line in run("results", batch_id).stdout.splitlines()]

    assert sorted(row["custom_id"] for row in rows) == ["a", "b"]
    assert all(row["succeeded"] for row in rows)
    assert run("cancel", batch_id).stdout.strip() == "It had already ended."


@pytest.mark.anthropic_emulator(clock="stepped")
async def test_cancelling(run, anthropic_emulator):
    batch_id = await submitted(anthropic_emulator)

    assert run("cancel", batch_id).stdout.strip() == "canceling"
    assert json.loads(run("status", batch_id).stdout)["status"] == "canceling"


def test_an_error_is_one_line_and_exit_code_1(run):
    unknown = run("status", "msgbatch_nobody")
    assert unknown.returncode == 1
    assert "Check the id" in unknown.stderr
    assert "Traceback" not in unknown.stderr
    refused = run("list", ANTHROPIC_API_KEY="sk-ant-invalid-key-of-this-test")
    assert refused.returncode == 1
    assert "refused the key" in refused.stderr
    assert "sk-ant-invalid-key-of-this-test" not in refused.stderr


async def test_ids_in_the_list_are_whole_on_a_narrow_terminal(run, anthropic_emulator):
    batch_id = await submitted(anthropic_emulator)

    assert batch_id in run("list", COLUMNS="40").stdout


@pytest.mark.anthropic_emulator(clock="stepped")
def test_a_reader_that_has_seen_enough_ends_the_results_quietly(anthropic_emulator):
    batch_id = asyncio.run(submitted(anthropic_emulator, *(f"r-{i}" for i in range(2000))))
    anthropic_emulator.end(batch_id)

    shell = f"{shlex.join(COMMAND)} results {batch_id} | head -n 1"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["succeeded"]
    assert done.stderr == ""


def test_an_emulator_whose_port_is_taken_says_so(run, anthropic_emulator):
    done = run("emulator", "--port", anthropic_emulator.base_url.rpartition(":")[2])

    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_emulator_runs_until_it_is_interrupted():
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "emulator", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        emulator = EmulatorClient(f"http://127.0.0.1:{port}")

        def answers():
            try:
                return emulator.state()
            except OSError:
                return None

        wait_until(answers, "the emulator answers")
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert f"export ANTHROPIC_BASE_URL=http://127.0.0.1:{port}" in printed
    finally:
        end_group(process)
