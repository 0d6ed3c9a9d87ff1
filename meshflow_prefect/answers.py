"""The SDK's errors → ours: what the API answered, and what the caller can do next."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import mktime_tz, parsedate_tz
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
from meshflow_prefect.masking import without_key

if TYPE_CHECKING:
    import anthropic

_T = TypeVar("_T")

_NO_KEY = "No API key: set ANTHROPIC_API_KEY, pass `api_key`, or use an AnthropicCredentials block."

_TAG = re.compile(r"<(style|script).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_QUOTED = 200
"""How many characters are quoted of an answer that is not the API's."""

_FOR_EVER = 1e9
"""Seconds: what "infinity" is taken for."""

_SPEND_LIMIT = "enforced_spend_limit_reached"


async def asked(
    call: Callable[[], Awaitable[_T]], explain: Callable[[Exception], MeshflowError]
) -> _T:
    """Make one call and turn the SDK's errors into ours."""
    import anthropic
    import httpx2

    try:
        return await call()
    except anthropic.APIError as error:
        failure = explain(error)
    except anthropic.AnthropicError as error:
        failure = CredentialsError(str(error))
    except (AttributeError, TypeError, ValueError, httpx2.HTTPError) as error:
        # A 200 that is cut short or is not the API's: the SDK neither catches nor checks it. And a
        # TypeError is its way to say that it found no key anywhere.
        no_key = isinstance(error, TypeError) and "authentication" in str(error)
        failure = CredentialsError(_NO_KEY) if no_key else explain(error)
    # Raised out here, so that the SDK's exception, whose request holds the key, is not chained.
    raise failure


def about(
    batch_id: str | None, *, subject: str = "The list of batches"
) -> Callable[[Exception], MeshflowError]:
    """Return how errors of calls about one batch, or about another subject, are explained."""
    if batch_id is not None:
        subject = f"Batch {batch_id!r}"

    def explain(error: Exception) -> MeshflowError:
        import anthropic

        facts = _facts(error) | ({} if batch_id is None else {"batch_id": batch_id})
        if batch_id is not None and isinstance(error, anthropic.NotFoundError):
            return BatchNotFoundError(
                f"{subject}: {_said(error)}. Check the id, and that the key belongs to "
                "the workspace in which the batch was made.",
                **facts,
            )
        return _refused_key(error, facts) or (
            ApiUnavailableError(f"{subject}: could not ask: {_said(error)}.", **facts)
            if _passing(error)
            else MeshflowError(f"{subject}: {_said(error)}.", **facts)
        )

    return explain


def create_failure(error: Exception) -> MeshflowError:
    """Tell a create that certainly made no batch from one whose outcome is not known."""
    import anthropic
    import httpx2

    facts = _facts(error)
    if isinstance(error, anthropic.APIConnectionError) and isinstance(
        error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout
    ):
        return SubmissionRefusedError(
            f"No batch was made: could not connect to {error.request.url.host!r} "
            f"({error.__cause__}).",
            **facts,
        )
    if (refused := _refused_key(error, facts)) is not None:
        return refused
    if isinstance(error, anthropic.RateLimitError | anthropic.OverloadedError) and not _capped(
        error
    ):
        return RateLimitedError(f"No batch was made: {_said(error)}.", **facts)
    if isinstance(error, anthropic.APIStatusError) and error.response.is_redirect:
        return SubmissionRefusedError(
            f"No batch was made: {error.request.url.host!r} answered {error.status_code}, a "
            "redirect, which is not followed. Set ANTHROPIC_BASE_URL, or `base_url`, to the "
            "address that it leads to.",
            **facts,
        )
    if isinstance(error, anthropic.APIStatusError) and _certainly_refused(error.status_code):
        return SubmissionRefusedError(f"No batch was made: {_said(error)}.", **facts)
    reason = _said(error)
    return SubmissionUnknownError(
        f"The create call was sent and its answer is not known ({reason}): there may be a "
        "batch, and it would be billed. It is not sent again. In a flow run the batch is looked "
        "for; elsewhere look for it with `list`, compare the number of requests and the time, and "
        "collect it by its id.",
        reason=reason,
        given_up=isinstance(error, anthropic.APITimeoutError),
        **facts,
    )


def cut_off(lost: SubmissionUnknownError, *, sent: int, size: int) -> SubmissionRefusedError:
    """Return what it means that a create call failed before all of its body had been sent."""
    return SubmissionRefusedError(
        f"No batch was made: the connection was lost when at most {sent:,} of {size:,} bytes had "
        f"been sent ({lost.reason}). Where that goes on, something on the way may not take as many "
        "at once: `max_bytes_per_batch` makes smaller batches.",
        **lost.details | {"sent_bytes": sent},
    )


def _certainly_refused(status_code: int) -> bool:
    # A 408 or a 409 may come after the work was done, and a 5xx was seen to.
    return status_code < 500 and status_code not in (408, 409)


def _capped(error: anthropic.APIStatusError) -> bool:
    """Whether this is a spend limit that someone set: waiting does not lift it."""
    body: Any = error.body
    told = body.get("error") if isinstance(body, dict) else None
    details = told.get("details") if isinstance(told, dict) else None
    return isinstance(details, dict) and details.get("error_code") == _SPEND_LIMIT


def _refused_key(error: Exception, facts: Mapping[str, Any]) -> MeshflowError | None:
    import anthropic

    if _is_page(error):
        return None
    if isinstance(error, anthropic.AuthenticationError | anthropic.PermissionDeniedError):
        return CredentialsError(
            f"Anthropic refused the key: {_said(error)}. Check the AnthropicCredentials block or "
            "ANTHROPIC_API_KEY.",
            **facts,
        )
    return None


def _passing(error: Exception) -> bool:
    """Whether asking again later may work."""
    import anthropic

    if not isinstance(error, anthropic.APIStatusError):
        return True
    passing = error.status_code in (408, 409, 429) or error.status_code >= 500
    return passing or _is_page(error)


def _is_page(error: Exception) -> bool:
    """Whether a firewall on the way forbids it, which says nothing of the key: the API says JSON.

    Some do so for minutes, to check who asks or because too much was asked.
    """
    import anthropic

    return isinstance(error, anthropic.PermissionDeniedError) and error.response.headers.get(
        "content-type", ""
    ).startswith("text/html")


def _facts(error: Exception) -> dict[str, Any]:
    import anthropic

    if not isinstance(error, anthropic.APIStatusError):
        return {"status_code": None}
    return {
        "status_code": error.status_code,
        "request_id": error.request_id,
        "retry_after": retry_after(error.response.headers),
    }


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return what a `retry-after` says, in seconds; None without one that can be read.

    As the SDK does, it takes the milliseconds of some gateways first.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "")
        try:
            seconds = float(text) * unit
        except ValueError:
            continue
        return min(seconds, _FOR_EVER) if seconds >= 0 else None
    date = parsedate_tz(text)
    return None if date is None else max(0.0, mktime_tz(date) - time.time())


def _said(error: Exception) -> str:
    """Return what the API answered: the status, the kind of error, and its message."""
    import anthropic

    if not isinstance(error, anthropic.APIError):
        return f"the answer cannot be read: {without_key(repr(error))}"
    sent = error.request.headers
    key = sent.get("x-api-key") or sent.get("authorization", "").removeprefix("Bearer ")
    if not isinstance(error, anthropic.APIStatusError):
        words = [error.message.rstrip("."), str(error.__cause__ or "").rstrip(".")]
        return without_key(": ".join(filter(None, words)), key)
    body: Any = error.body
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict):
        # The page of a proxy, say.
        text = " ".join(_TAG.sub(" ", without_key(error.message, key)).split())
        return f"{error.status_code}: {text[:_QUOTED].rstrip('.')}"
    kind, message = told.get("type", "error"), told.get("message", error.message)
    return without_key(f"{error.status_code} {kind}: {str(message).rstrip('.')}", key)
