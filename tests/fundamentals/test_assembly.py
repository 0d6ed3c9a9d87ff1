"""What is said of the rows of an output."""

from __future__ import annotations

from meshflow_prefect.bulk.assembly import Endings
from meshflow_prefect.bulk.harvest import rest_of
from meshflow_prefect.models import BatchResult


def ended(endings: Endings, *, error: str | None = None) -> None:
    status = "succeeded" if error is None else "errored"
    endings.count(status, rest_of(BatchResult("", status, error=error)))


def test_failures_are_counted_by_their_words():
    endings = Endings()
    for error in (None, "overloaded", "refused", "overloaded"):
        ended(endings, error=error)

    assert endings.statuses == {"succeeded": 1, "errored": 3}
    assert endings.failures == {"overloaded": 2, "refused": 1}


def test_only_some_kinds_of_failure_are_kept_and_all_are_counted():
    endings = Endings()
    for number in range(500):
        ended(endings, error=f"Row {number}")
        ended(endings, error="Row 0")

    assert endings.statuses["errored"] == 1000
    assert endings.failures["Row 0"] == 501
    assert len(endings.failures) < 40
