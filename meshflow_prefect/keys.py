"""Which key a flow uses, and the refusal of one that Prefect has stored in clear."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import get_client
from prefect.context import FlowRunContext
from pydantic import SecretStr

from meshflow_prefect.credentials import AnthropicCredentials
from meshflow_prefect.errors import CredentialsError
from meshflow_prefect.flow_type import HIDDEN
from meshflow_prefect.masking import holds_key


async def usable_credentials(
    api_key: str | SecretStr, credentials: AnthropicCredentials | str | None
) -> AnthropicCredentials:
    """Return the credentials to use; refuse a key that Prefect has stored in clear."""
    secret = api_key if isinstance(api_key, SecretStr) else SecretStr(api_key)
    await _refuse_stored_key()
    if secret.get_secret_value() and credentials is not None:
        raise CredentialsError("Give `api_key` or `credentials`, not both.")
    if secret.get_secret_value():
        return AnthropicCredentials(api_key=secret)
    if isinstance(credentials, str):
        if holds_key(credentials):
            raise CredentialsError(
                "credentials: expected the name of an AnthropicCredentials block, got a key. Give "
                "a key to a direct call as `api_key`."
            )
        try:
            loaded = await AnthropicCredentials.aload(credentials)
        except ValueError as error:
            raise CredentialsError(
                f"credentials: {error}. Save one in the UI, or in Python: "
                f"AnthropicCredentials(api_key=…).save({credentials!r})."
            ) from None
        assert isinstance(loaded, AnthropicCredentials)  # noqa: S101  (what the type checker needs)
        return loaded
    return credentials or AnthropicCredentials()


async def _refuse_stored_key() -> None:
    """Raise `CredentialsError`, and erase the key, where a deployed run holds it as a parameter."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.deployment_id is None:
        return
    stored = dict(run.parameters)
    block = stored.get("credentials")
    if stored.get("api_key"):
        where, stored["api_key"] = "api_key", ""
    elif isinstance(block, Mapping) and block.get("api_key"):
        where, stored["credentials"] = "credentials.api_key", {**block, "api_key": HIDDEN}
    elif isinstance(block, str) and holds_key(block):
        where, stored["credentials"] = "credentials", None
    else:
        return
    if stored.get("credentials") == {"api_key": HIDDEN}:
        stored["credentials"] = None
    async with get_client() as client:
        await client.update_flow_run(run.id, parameters=stored)
    raise CredentialsError(
        f"{where}: a key must not be a parameter of a deployed run, because Prefect stores "
        "parameters in clear. Nothing was submitted, and the key was erased from this run's "
        "parameters; erase it from the deployment's and from schedules too, and replace it. Use "
        "`credentials` with the name of an AnthropicCredentials block, or set ANTHROPIC_API_KEY "
        "in the worker's environment."
    )
