"""The SDK's client, made for batches: what it trusts, and how long it sleeps."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from meshflow_prefect.answers import retry_after
from meshflow_prefect.errors import CredentialsError, InvalidRequestError, MeshflowError
from meshflow_prefect.filesystems import shown
from meshflow_prefect.own_prices import configured_prices

if TYPE_CHECKING:
    import ssl

    import httpx2
    from anthropic import AsyncAnthropic

_LONGEST_SLEEP = 60.0
"""For how many seconds a `retry-after` is waited out in a call."""


def make_sdk(**options: Any) -> AsyncAnthropic:
    """Load the SDK, which takes a second, and return a client of its own.

    Raises `CredentialsError` for a key that cannot be one, and `InvalidRequestError` for an address
    that is none.
    """
    import anthropic
    import anthropic.types.messages  # what the calls need of it is loaded late, too

    # Wrong ones are refused now, and not when results are there.
    configured_prices()
    failure: MeshflowError | None = None
    try:
        sdk = anthropic.AsyncAnthropic(
            **options,
            http_client=anthropic.DefaultAsyncHttpxClient(
                verify=_authorities(), event_hooks={"response": [_do_not_sleep_for_long]}
            ),
        )
    except anthropic.AnthropicError as error:
        failure = CredentialsError(str(error))
    if failure:
        raise failure
    address = sdk.base_url
    if address.scheme not in ("http", "https") or not address.host:
        raise InvalidRequestError(
            f"ANTHROPIC_BASE_URL, or `base_url`: {shown(str(address))!r} is no address of an API: "
            "it has to begin with https:// or http://, and name a host."
        )
    key = sdk.api_key
    if key and (key != key.strip() or not key.isprintable()):
        raise CredentialsError(
            "The API key has white space around it or a character that cannot be sent, such "
            "as the line end of a file that it was read from. Strip it."
        )
    return sdk


async def _do_not_sleep_for_long(response: httpx2.Response) -> None:
    """Keep the SDK from sleeping through a long `retry-after`: whoever asks decides how to wait."""
    if (retry_after(response.headers) or 0.0) > _LONGEST_SLEEP:
        response.headers["x-should-retry"] = "false"


@cache
def _authorities() -> ssl.SSLContext:
    """Return whom every client trusts: read once, as it takes longer than all else of a client."""
    import httpx2

    return httpx2.create_ssl_context()
