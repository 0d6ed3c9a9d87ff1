"""The key: a Prefect block, or the environment. It never becomes a parameter, a log or a result."""

from __future__ import annotations

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, SecretStr

from meshflow_prefect.client import AnthropicBatchClient


class AnthropicCredentials(Block):
    """An Anthropic API key, and where and how to reach the API.

    Attributes:
        api_key: The API key. Left out, the environment's key is used where the flow runs.
        base_url: Another address of the API, for a gateway or the emulator.
        timeout_seconds: How long one HTTP call may take; a create call 1 s more for each 100 kB.
        max_retries: How often calls other than create are repeated after passing faults.

    Example:
        Load a stored key and use it without Prefect:
        ```python
        from meshflow_prefect import AnthropicCredentials

        credentials = AnthropicCredentials.load("BLOCK_NAME")
        client = credentials.get_client()
        ```
    """

    _block_type_name: ClassVar[str] = "Anthropic Credentials"
    _block_type_slug: ClassVar[str] = "anthropic-credentials"
    # Prefect's own picture of a key.
    _logo_url: ClassVar[HttpUrl] = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/"
        "420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos/secret.png"
    )
    _documentation_url: ClassVar[HttpUrl] = HttpUrl(
        "https://platform.claude.com/docs/en/build-with-claude/batch-processing"
    )

    api_key: SecretStr | None = Field(
        default=None,
        description="The Anthropic API key. Without it, the key of the environment is used.",
    )
    base_url: str | None = Field(
        default=None,
        description="Another address of the API, for a gateway or the emulator.",
    )
    timeout_seconds: float = Field(
        default=600.0, gt=0, description="How long one HTTP call may take, in seconds."
    )
    max_retries: int = Field(
        default=2,
        ge=0,
        description="How often calls other than create are repeated after passing faults.",
    )

    @property
    def stored_name(self) -> str | None:
        """Name of the block document that this was loaded from or saved as; None without one."""
        return self._block_document_name

    def get_client(self) -> AnthropicBatchClient:
        """Return a client for this key. Close it with `async with` or `aclose`."""
        return AnthropicBatchClient(
            self.api_key.get_secret_value() if self.api_key else "",
            base_url=self.base_url,
            timeout=self.timeout_seconds,
            max_retries=self.max_retries,
        )
