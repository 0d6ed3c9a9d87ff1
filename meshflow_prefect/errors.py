"""All that this package raises: one base, and a child for each thing a caller can do next."""

from __future__ import annotations

from typing import Any


class MeshflowError(Exception):
    """Base of all errors of this package.

    Keyword arguments become attributes (`batch_id`, `status_code`, …) and survive pickling, so an
    error that crosses processes or is stored by Prefect still says which batch it was about.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __getattr__(self, name: str) -> Any:
        # `details` is missing while an instance is unpickled: ask the dictionary, never recurse.
        try:
            return self.__dict__["details"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.details))


def _rebuild(kind: type[MeshflowError], message: str, details: dict[str, Any]) -> MeshflowError:
    return kind(message, **details)


class InvalidRequestError(MeshflowError, ValueError):
    """A request, or a list of requests, breaks a rule of the API; nothing was submitted."""


class BatchTooLargeError(InvalidRequestError):
    """More requests or more bytes than one batch holds; nothing was submitted."""


class TemplateError(InvalidRequestError):
    """A row lacks the column that a template asks for; `column` holds its name."""


class BadRowsError(InvalidRequestError):
    """Rows of the input cannot be sent; `rows` names them, each with its place and reason."""


class OverBudgetError(MeshflowError):
    """The job may cost more than it is allowed to; nothing was submitted."""


class CostGateError(MeshflowError):
    """A baseline set costs more than its baseline allows; `comparison` holds the figures."""


class ContentChangedError(MeshflowError):
    """What a run is to send is not what it has begun to send; nothing more was submitted."""


class ResultsLostError(MeshflowError):
    """What an ended call returned cannot be read, and its batches are not known by its content.

    Nothing was submitted. `batch_ids` are those that the flow has paid for.
    """


class SourceError(MeshflowError):
    """The input is not there, or cannot be read as a whole; nothing is wrong with one row only."""


class DestinationError(MeshflowError):
    """The output cannot be written there, or something is there already."""


class CredentialsError(MeshflowError):
    """The key is missing, refused, or given in a place where it would be stored in clear."""


class SubmissionRefusedError(MeshflowError):
    """Anthropic refused the create, or could not be reached: certainly no batch was made.

    Where the connection was lost amid the body, `sent_bytes` holds the most that can have arrived.
    """


class RateLimitedError(SubmissionRefusedError):
    """Anthropic refused the create for now (429, 529); `retry_after` holds seconds, or None."""


class SubmissionUnknownError(MeshflowError):
    """A create was sent and its answer is not known: there may be a batch that is paid for."""


class JobKeyError(MeshflowError):
    """A job key was used for other content, or the record of its batches is gone."""


class BatchNotFoundError(MeshflowError):
    """No batch of this id exists in the key's workspace."""


class BatchNotEndedError(MeshflowError):
    """The batch is still being processed, so it has no results yet."""


class ResultsUnavailableError(MeshflowError):
    """The batch has ended, but its results are gone: they are kept for 29 days."""


class BatchWaitTimeoutError(MeshflowError, TimeoutError):
    """The batch did not end within the time given; it was not cancelled and can be collected."""


class ApiUnavailableError(MeshflowError):
    """Anthropic could not be asked (network, 5xx, 429); asking again later may work."""


class RunCancelledError(MeshflowError):
    """The flow run was cancelled while it waited in its process."""


class SuspensionError(MeshflowError):
    """The orchestrator refused to suspend the run."""


class BatchFailedError(MeshflowError):
    """More requests failed than allowed; `results` holds all, `batch_ids` where they came from."""


class BelowThresholdError(MeshflowError):
    """An eval's score is too low; `score`, `threshold` and `report` hold its figures."""
