"""Which key the client uses, and what it says of a wrong one."""

from __future__ import annotations

import pytest

from meshflow_prefect import (
    AnthropicBatchClient,
    CredentialsError,
)
from tests.support.jobs import numbered


@pytest.mark.parametrize("call", ["submit", "status", "results", "cancel", "list"])
async def test_a_wrong_key_is_named_as_the_cause(anthropic_emulator, call):
    argument = {"submit": [numbered(1)], "list": []}.get(call, ["msgbatch_1"])
    async with AnthropicBatchClient("sk-ant-invalid-key") as client:
        with pytest.raises(
            CredentialsError, match=r"refused the key.*ANTHROPIC_API_KEY"
        ) as refused:
            await getattr(client, call)(*argument)
    assert refused.value.status_code == 401
    assert refused.value.request_id.startswith("req_")
    assert anthropic_emulator.batches() == []


async def test_no_key_at_all_says_what_to_do(anthropic_emulator, monkeypatch, tmp_path):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for call in ("status", "submit"):
        async with AnthropicBatchClient() as client:
            with pytest.raises(CredentialsError, match=r"ANTHROPIC_API_KEY.*AnthropicCredentials"):
                await getattr(client, call)(numbered(1) if call == "submit" else "msgbatch_1")


@pytest.mark.anthropic_emulator(api_keys=("sk-ant-of-the-argument",))
async def test_an_argument_wins_over_the_environment(anthropic_emulator, monkeypatch):
    url = anthropic_emulator.base_url
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")

    async with AnthropicBatchClient("sk-ant-of-the-argument", base_url=url) as client:
        assert await client.list() == []
    async with AnthropicBatchClient(base_url=url) as client:
        with pytest.raises(CredentialsError):
            await client.list()


async def test_the_environment_may_hold_a_token_instead_of_a_key(anthropic_emulator, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    async with AnthropicBatchClient() as client:
        assert await client.list() == []


async def test_a_client_can_be_closed_early_twice_and_used_again(anthropic_emulator):
    client = AnthropicBatchClient()
    await client.aclose()
    assert await client.list() == []
    await client.aclose()
    await client.aclose()
    async with client:
        assert await client.list() == []
