"""The API's batch → BatchJob, also where a gateway leaves some of it out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import orjson

from meshflow_prefect.models import REQUEST_KINDS, BatchJob, JobStatus

if TYPE_CHECKING:
    from anthropic.types.messages import MessageBatch

_ID = "msgbatch_"


def job_of(batch: MessageBatch) -> BatchJob:
    """Return the batch of an answer. Raises `ValueError` for one that says neither id nor status.

    The SDK checks nothing: what an answer lacks is None here, whatever the types say.
    """
    if not isinstance(batch.id, str) or not batch.id:
        raise ValueError("the answer names no batch")
    status: JobStatus = batch.processing_status
    if not isinstance(status, str):
        raise ValueError(f"batch {batch.id!r} has the status {status!r}")  # noqa: TRY004
    if status not in get_args(JobStatus):
        # Of a later version of the API: it goes on until it says when it has ended.
        status = "in_progress" if batch.ended_at is None else "ended"
    # Without counts nothing is known of how many there are: 0.
    told = batch.request_counts.model_dump() if batch.request_counts is not None else {}
    counts = {kind: told.get(kind) or 0 for kind in REQUEST_KINDS}
    if status == "ended" and batch.cancel_initiated_at is not None and counts["canceled"]:
        status = "canceled"
    return BatchJob(
        batch_id=batch.id,
        status=status,
        request_counts=counts,
        # Without a time it may be as young as can be.
        created_at=_time(batch.created_at) or datetime.now(UTC),
        expires_at=_time(batch.expires_at),
        ended_at=_time(batch.ended_at),
        cancel_initiated_at=_time(batch.cancel_initiated_at),
        archived_at=_time(batch.archived_at),
    )


def _time(told: Any) -> Any:
    """Return a time of an answer, in UTC, also where it names no zone; None where it is no time."""
    if not isinstance(told, datetime):
        return None
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)


def created_id(answer: MessageBatch | str) -> str:
    """Return which batch a create call has made. Raises `ValueError` when the answer does not say.

    An id of the API's form is believed, whatever else is missing: that batch is paid for.
    """
    from anthropic.types.messages import MessageBatch

    if isinstance(answer, str):  # JSON that was not announced as such
        answer = MessageBatch.construct(**orjson.loads(answer))
    if isinstance(answer.id, str) and answer.id.startswith(_ID):
        return answer.id
    return job_of(answer).batch_id
