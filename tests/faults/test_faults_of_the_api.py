"""One fault of the API at a time, through the whole flow: what it costs, and what the user sees."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshflow_prefect import BatchResult, MeshflowError, batch_agent_tasks
from tests.faults.matrix import Group, Row
from tests.support.jobs import SOON, named

COUNT = 5
ALL = f"{COUNT} succeeded"
MINUTE = 60


@dataclass(frozen=True)
class Fault:
    group: Group
    words: str
    plan: tuple[Mapping[str, Any], ...]
    seen: str = ALL
    """The rows by status, or the error."""
    created: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


def create(words: str, *plan: Mapping[str, Any], **more: Any) -> Fault:
    return Fault("create", words, tuple({"on": "create", **each} for each in plan), **more)


def rows(words: str, seen: str, created: int = 1, **plan: Any) -> Fault:
    fault = {"on": "rows", "custom_id": "task-2-*", **plan}
    return Fault("collect", words, (fault,), seen, created)


ACCEPTED = {"accept": True}
REFUSED = "SubmissionRefusedError: No batch was made"
FAULTS = [
    create("500 after the batch was accepted", {**ACCEPTED, "status": 500}),
    create("504 after the batch was accepted", {**ACCEPTED, "status": 504}),
    create("408 after the batch was accepted", {**ACCEPTED, "status": 408}),
    create("529 after the batch was accepted", {**ACCEPTED, "status": 529}),
    create("accepted, and the connection breaks", {**ACCEPTED, "drop": True}),
    create("accepted, and the answer breaks off", {"cut_after": 40}),
    create("500, nothing accepted", {"status": 500}),
    create("the connection breaks, nothing accepted", {"drop": True}),
    create(
        "429 with retry-after, three times",
        {"status": 429, "headers": {"retry-after": "1"}, "times": 3},
    ),
    create("529 without retry-after, twice", {"status": 529, "times": 2}),
    create("400", {"status": 400, "message": "Bad"}, seen=REFUSED, created=0),
    create("401", {"status": 401}, seen="CredentialsError", created=0),
    create("402", {"status": 402}, seen=REFUSED, created=0),
    create("403", {"status": 403}, seen="CredentialsError", created=0),
    create("413", {"status": 413}, seen=REFUSED, created=0),
    create(
        "429, the spend limit is reached",
        {"status": 429, "details": {"error_code": "enforced_spend_limit_reached"}},
        seen=REFUSED,
        created=0,
    ),
    Fault(
        "create",
        "accepted and lost, and the list of batches is away too",
        (
            {"on": "create", "accept": True, "drop": True},
            {"on": "list", "status": 503, "times": 4},
        ),
    ),
    Fault("wait", "500 at 12 checks", ({"on": "retrieve", "status": 500, "times": 12},)),
    Fault(
        "wait", "the connection breaks at 9 checks", ({"on": "retrieve", "drop": True, "times": 9},)
    ),
    Fault(
        "wait",
        "429 with retry-after at 3 checks",
        ({"on": "retrieve", "status": 429, "headers": {"retry-after": "1"}, "times": 3},),
    ),
    Fault("wait", "404 just after the creation", ({"on": "retrieve", "status": 404, "times": 2},)),
    Fault("wait", "401 in mid-wait", ({"on": "retrieve", "status": 401},), "CredentialsError"),
    Fault("wait", "403 in mid-wait", ({"on": "retrieve", "status": 403},), "CredentialsError"),
    Fault(
        "collect",
        "the stream of results breaks off, four times",
        ({"on": "results", "cut_after": 1500, "times": 4},),
    ),
    Fault("collect", "500 at the results", ({"on": "results", "status": 500, "times": 3},)),
    Fault(
        "collect",
        "the results end early, as if whole",
        ({"on": "results", "truncate_after": 1500},),
    ),
    Fault(
        "collect",
        "`results_url` is on a host that cannot be dialled",
        ({"on": "retrieve", "results_url": "http://192.0.2.1:9/results", "times": None},),
    ),
    rows("a row is missing", "4 succeeded, 1 missing", damage="forget"),
    rows("a row is missing at the first reading", ALL, damage="forget", times=1),
    rows("a row comes twice", ALL, damage="repeat"),
    rows("a row is not JSON", "4 succeeded, 1 missing", damage="corrupt"),
    rows("a row is cut in the middle", "4 succeeded, 1 missing", damage="truncate"),
    rows("a row is cut at the first reading", ALL, damage="truncate", times=1),
    rows("a row has an unknown custom id", "4 succeeded, 1 missing", damage="rename"),
    rows("a text holds U+2028 and U+0085", ALL, damage="line_separator"),
    rows("a request is overloaded, then not", ALL, 2, outcome="errored", error="overloaded_error"),
    rows("a request expires, then not", ALL, 2, outcome="expired"),
    rows(
        "a request is overloaded, for ever",
        "4 succeeded, 1 errored",
        2,
        outcome="errored",
        error="overloaded_error",
        batches=None,
    ),
    rows(
        "a request is invalid",
        "4 succeeded, 1 errored",
        outcome="errored",
        error="invalid_request_error",
    ),
]


@pytest.mark.anthropic_emulator(batch_seconds=0.4)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: re.sub(r"\W+", "-", f.words))
async def test_a_fault_of_the_api(stack, own_storage, anthropic_emulator, matrix, fault):
    anthropic_emulator.plan(*fault.plan)

    seen, results = await outcome()

    assert seen.startswith(fault.seen)
    batches = anthropic_emulator.batches()
    assert len(batches) == fault.created
    assert sum(f["fired"] for f in anthropic_emulator.faults()) > 0, "the fault was met"
    in_order = [result.custom_id.split("-")[1] for result in results]
    assert in_order == ([str(n) for n in range(COUNT)] if results else [])
    # Requests in batches that were billed for, and of which the user has no row.
    lost = COUNT - len(results) if results else 0
    matrix(Row(fault.group, fault.words, words_of(seen), len(batches), len(batches), lost))


async def outcome() -> tuple[str, list[BatchResult]]:
    try:
        results = await batch_agent_tasks(named(COUNT), poll_interval=SOON)
    except MeshflowError as error:
        return f"{type(error).__name__}: {error}", []
    counts = Counter(result.status for result in results)
    return ", ".join(f"{n} {status}" for status, n in counts.most_common()), results


def words_of(seen: str) -> str:
    return "all rows" if seen == ALL else seen.partition(":")[0]
