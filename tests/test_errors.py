"""Errors keep what they know when they cross processes, and never hold a key."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator

import cloudpickle
import pytest

from meshflow_prefect import (
    AnthropicBatchClient,
    ApiUnavailableError,
    BatchRequest,
    BatchTooLargeError,
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    RateLimitedError,
    SubmissionRefusedError,
    errors,
)

KEY = "sk-ant-invalid-0123456789-abcdefghij"
KINDS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, MeshflowError)
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("module", [pickle, cloudpickle])
def test_an_error_keeps_its_fields_in_another_process(kind, module):
    error = kind("Batch 'b' is gone.", batch_id="b", retry_after=2.5)

    again = module.loads(module.dumps(error))

    assert type(again) is kind
    assert str(again) == "Batch 'b' is gone."
    assert (again.batch_id, again.retry_after) == ("b", 2.5)
    assert again.details == error.details


def test_an_attribute_that_an_error_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'BatchNotFoundError' has no attribute 'colour'"):
        _ = errors.BatchNotFoundError("x").colour
    assert not hasattr(CredentialsError.__new__(CredentialsError), "batch_id")


def test_the_tree_says_what_a_caller_can_do():
    assert all(kind.__doc__ for kind in KINDS)
    assert issubclass(InvalidRequestError, ValueError)
    assert issubclass(BatchTooLargeError, InvalidRequestError)
    assert issubclass(RateLimitedError, SubmissionRefusedError)
    assert issubclass(errors.BatchWaitTimeoutError, TimeoutError)
    assert not issubclass(errors.SubmissionUnknownError, SubmissionRefusedError)


def held_by(error: BaseException) -> Iterator[object]:
    """All that can be read from an error: itself, its fields, what it came from, and so on."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value
        elif isinstance(value, BaseException):
            waiting += [value.__cause__, value.__context__, value.args, vars(value)]
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            waiting.append(vars(value))


CALLS = {
    "submit": lambda client: client.submit([BatchRequest("a", "Hello.")]),
    "status": lambda client: client.status("msgbatch_1"),
    "results": lambda client: client.results("msgbatch_1"),
    "wait": lambda client: client.wait("msgbatch_1"),
    "cancel": lambda client: client.cancel("msgbatch_1"),
    "list": lambda client: client.list(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("reached", [True, False], ids=["refused", "unreachable"])
async def test_no_key_can_be_read_from_an_error(call, reached, anthropic_emulator):
    expected = CredentialsError if reached else MeshflowError
    url = anthropic_emulator.base_url if reached else "http://127.0.0.1:1"
    timeouts = {"timeout": 1.0} if call == "wait" else {}
    async with AnthropicBatchClient(KEY, base_url=url, max_retries=0) as client:
        ask = (lambda c: c.wait("msgbatch_1", 0.1, **timeouts)) if timeouts else CALLS[call]
        with pytest.raises(expected) as caught:
            await ask(client)

    values = list(held_by(caught.value))
    assert not [value for value in values if isinstance(value, str | bytes) and KEY in str(value)]
    assert not [value for value in values if type(value).__module__.startswith("anthropic")]
    assert KEY not in repr(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY.encode() not in pickle.dumps(caught.value)
    assert KEY not in repr(client)


async def test_an_address_without_anybody_is_an_error_that_may_pass():
    async with AnthropicBatchClient(KEY, base_url="http://127.0.0.1:1", max_retries=0) as client:
        with pytest.raises(ApiUnavailableError, match="could not ask") as caught:
            await client.status("msgbatch_1")
    assert caught.value.batch_id == "msgbatch_1"
