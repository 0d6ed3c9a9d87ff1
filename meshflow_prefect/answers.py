"""The SDK's errors → ours: what the API answered, and what the caller can do next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from meshflow_prefect.errors import (
    ApiUnavailableError,
    BatchNotFoundError,
    CredentialsError,
    MeshflowError,
    RateLimitedError,
    SubmissionRefusedError,
    SubmissionUnknownError,
)

if TYPE_CHECKING:
    import anthropic

_T = TypeVar("_T")


async def asked(
    call: Callable[[], Awaitable[_T]], explain: Callable[[anthropic.APIError], MeshflowError]
) -> _T:
    """Make one call and turn the SDK's errors into ours."""
    import anthropic

    try:
        return await call()
    except anthropic.APIError as error:
        failure = explain(error)
    except anthropic.AnthropicError as error:
        failure = CredentialsError(str(error))
    except TypeError as error:
        # The SDK's way to say that it found no key anywhere.
        if "authentication" not in str(error):
            raise
        failure = CredentialsError(
            "No API key: set ANTHROPIC_API_KEY, pass `api_key`, or use an AnthropicCredentials "
            "block."
        )
    # Raised out here, so that the SDK's exception, whose request holds the key, is not chained.
    raise failure


def about(batch_id: str | None) -> Callable[[anthropic.APIError], MeshflowError]:
    """Return how errors of calls about one batch, or about all of them, are explained."""
    subject = "The list of batches" if batch_id is None else f"Batch {batch_id!r}"

    def explain(error: anthropic.APIError) -> MeshflowError:
        import anthropic

        facts = _facts(error) | ({} if batch_id is None else {"batch_id": batch_id})
        if batch_id is not None and isinstance(error, anthropic.NotFoundError):
            return BatchNotFoundError(
                f"{subject}: {_said(error)}. Check the id, and that the key belongs to "
                "the workspace in which the batch was made.",
                **facts,
            )
        return _refused_key(error) or (
            ApiUnavailableError(f"{subject}: could not ask: {_said(error)}.", **facts)
            if _passing(error)
            else MeshflowError(f"{subject}: {_said(error)}.", **facts)
        )

    return explain


def create_failure(error: anthropic.APIError) -> MeshflowError:
    """Tell a create that certainly made no batch from one whose outcome is not known."""
    import anthropic
    import httpx2

    facts = _facts(error)
    if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
        return SubmissionRefusedError(
            f"No batch was made: could not connect to {error.request.url.host!r} "
            f"({error.__cause__}).",
            **facts,
        )
    if (refused := _refused_key(error)) is not None:
        return refused
    if isinstance(error, anthropic.RateLimitError | anthropic.OverloadedError):
        return RateLimitedError(f"No batch was made: {_said(error)}.", **facts)
    if isinstance(error, anthropic.APIStatusError) and _certainly_refused(error.status_code):
        return SubmissionRefusedError(f"No batch was made: {_said(error)}.", **facts)
    return SubmissionUnknownError(
        f"The create call was sent and its answer is not known ({_said(error)}): there may be a "
        "batch, and it would be billed. It is not sent again. Look for it with `list`, compare the "
        "number of requests and the time, and collect it by its id.",
        **facts,
    )


def _certainly_refused(status_code: int) -> bool:
    # A 408 or a 409 may come after the work was done, and a 5xx was seen to.
    return status_code < 500 and status_code not in (408, 409)


def _refused_key(error: anthropic.APIError) -> MeshflowError | None:
    import anthropic

    if isinstance(error, anthropic.AuthenticationError | anthropic.PermissionDeniedError):
        return CredentialsError(
            f"Anthropic refused the key: {_said(error)}. Check the AnthropicCredentials block or "
            "ANTHROPIC_API_KEY.",
            **_facts(error),
        )
    return None


def _passing(error: anthropic.APIError) -> bool:
    """Whether asking again later may work."""
    import anthropic

    if not isinstance(error, anthropic.APIStatusError):
        return True
    return error.status_code in (408, 409, 429) or error.status_code >= 500


def _facts(error: anthropic.APIError) -> dict[str, Any]:
    import anthropic

    if not isinstance(error, anthropic.APIStatusError):
        return {"status_code": None}
    wait = error.response.headers.get("retry-after")
    return {
        "status_code": error.status_code,
        "request_id": error.request_id,
        "retry_after": float(wait) if wait and wait.replace(".", "", 1).isdigit() else None,
    }


def _said(error: anthropic.APIError) -> str:
    """Return what the API answered: the status, the kind of error, and its message."""
    import anthropic

    if not isinstance(error, anthropic.APIStatusError):
        return error.message.rstrip(".")
    body: Any = error.body
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict):
        return f"{error.status_code}: {error.message.rstrip('.')}"
    kind, message = told.get("type", "error"), told.get("message", error.message)
    return f"{error.status_code} {kind}: {str(message).rstrip('.')}"
