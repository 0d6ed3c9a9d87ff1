"""Clients as users have them: the SDK, another process, the fixture of the pytest plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import anthropic
import httpx
import pytest

from meshflow_prefect.emulator import Emulator, EmulatorClient
from tests.emulator.wire import create, params, requests


def test_the_sdk_speaks_to_it_from_create_to_delete(emulator: Emulator) -> None:
    with anthropic.Anthropic(base_url=emulator.base_url, api_key=emulator.api_key) as client:
        batches = client.messages.batches
        made = [batches.create(**requests(params(f"{n}?"), params(model="x"))) for n in range(3)]
        assert [batch.id for batch in batches.list(limit=2)] == [each.id for each in made[::-1]]
        with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
            batches.results(made[0].id)
        emulator.advance(100)
        assert batches.retrieve(made[0].id).request_counts.errored == 1
        rows = {row.custom_id: row.result for row in batches.results(made[0].id)}
        assert rows["row-0"].type == "succeeded"
        assert rows["row-0"].message.usage.service_tier == "batch"
        assert rows["row-1"].type == "errored"
        assert rows["row-1"].error.error.type == "not_found_error"
        with pytest.raises(anthropic.BadRequestError):
            batches.cancel(made[0].id)
        assert batches.delete(made[0].id).type == "message_batch_deleted"
        counted = client.messages.count_tokens(
            model="claude-opus-5", messages=[{"role": "user", "content": "Hello"}]
        )
        assert counted.input_tokens == 5


def test_an_error_is_the_exception_that_the_sdk_has_for_it(emulator: Emulator) -> None:
    with (
        anthropic.Anthropic(base_url=emulator.base_url, api_key="sk-ant-invalid") as client,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        client.messages.batches.list()
    assert caught.value.request_id is not None


def test_importing_the_emulator_imports_neither_the_sdk_nor_prefect() -> None:
    code = """
        import sys
        import meshflow_prefect.emulator
        assert not {"anthropic", "prefect"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_says_where_it_is_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    code = "from meshflow_prefect.emulator import *; serve(EmulatorSettings())"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdout is not None
        told: dict[str, str] = {}
        while "ANTHROPIC_API_KEY" not in told:
            name, _, value = process.stdout.readline().strip().partition("=")
            told[name.removeprefix("export ")] = value
        emulator = EmulatorClient(told["ANTHROPIC_BASE_URL"], api_key=told["ANTHROPIC_API_KEY"])
        assert emulator.environment() == {
            "ANTHROPIC_BASE_URL": told["ANTHROPIC_BASE_URL"],
            "ANTHROPIC_API_KEY": told["ANTHROPIC_API_KEY"],
        }
        assert emulator.batches() == []
        process.send_signal(number)
        assert "stopped" in process.stdout.read()
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anthropic_emulator(batch_seconds=3600, clock="stepped")
def test_the_fixture_points_the_environment_at_an_emulator_of_the_test(
    anthropic_emulator: Emulator,
) -> None:
    assert os.environ["ANTHROPIC_BASE_URL"] == anthropic_emulator.base_url
    with anthropic.Anthropic() as client:
        batch = client.messages.batches.create(**requests(params()))
        anthropic_emulator.advance(3600)
        assert client.messages.batches.retrieve(batch.id).processing_status == "ended"


def test_without_a_marker_a_batch_of_the_fixture_soon_ends_by_itself(
    anthropic_emulator: Emulator,
) -> None:
    headers = {"x-api-key": anthropic_emulator.api_key, "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=anthropic_emulator.base_url, headers=headers) as api:
        create(api)
        while anthropic_emulator.batches()[0]["status"] != "ended":
            pass
