"""The block that holds a key: Prefect's own rules for blocks, and a real server that keeps it."""

from __future__ import annotations

from urllib.error import HTTPError, URLError

import pytest
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import ValidationError

from meshflow_prefect import AnthropicCredentials

KEY = "sk-ant-key-of-the-block-0123456789"


class TestPrefectsRulesForBlocks(BlockStandardTestSuite):
    @pytest.fixture
    def block(self):
        return AnthropicCredentials

    def test_has_a_valid_image(self, block):
        """Prefect's test opens the picture at its public address, which takes the internet."""
        try:
            super().test_has_a_valid_image(block)
        except HTTPError:
            raise  # reached, and the picture is not there
        except URLError as unreachable:
            pytest.skip(f"the host of the picture cannot be reached: {unreachable.reason}")


async def test_a_block_is_saved_and_loaded_by_its_name(stack):
    await AnthropicCredentials(
        api_key=KEY, base_url="http://127.0.0.1:1", timeout_seconds=7, max_retries=0
    ).save("saved-by-a-test")

    loaded = await AnthropicCredentials.aload("saved-by-a-test")

    assert loaded.api_key.get_secret_value() == KEY
    assert loaded.base_url == "http://127.0.0.1:1"
    assert (loaded.timeout_seconds, loaded.max_retries) == (7, 0)


async def test_a_block_without_a_key_is_saved_and_loaded_too(stack):
    await AnthropicCredentials().save("without-a-key")
    assert (await AnthropicCredentials.aload("without-a-key")).api_key is None


def test_the_key_is_not_shown():
    block = AnthropicCredentials(api_key=KEY)
    assert KEY not in f"{block!r} {block} {block.model_dump()} {block.model_dump_json()}"
    assert KEY not in repr(block.get_client())


async def test_the_client_of_a_block_uses_its_key_and_address(anthropic_emulator, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-invalid")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    block = AnthropicCredentials(api_key=KEY, base_url=anthropic_emulator.base_url)
    async with block.get_client() as client:
        assert await client.list() == []


async def test_a_block_without_a_key_leaves_it_to_the_environment(anthropic_emulator):
    async with AnthropicCredentials().get_client() as client:
        assert await client.list() == []


@pytest.mark.parametrize("wrong", [{"timeout_seconds": 0}, {"max_retries": -1}])
def test_what_cannot_work_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValidationError, match=name):
        AnthropicCredentials(**wrong)
