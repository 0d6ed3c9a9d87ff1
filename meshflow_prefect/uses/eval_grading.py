"""The replies of an eval → a grade for each, by a grader or by a judge's batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from meshflow_prefect.grading import Grade, Grader
from meshflow_prefect.judging import Verdict, grade_of
from meshflow_prefect.models import BatchResult
from meshflow_prefect.uses.cases import Case
from meshflow_prefect.uses.job_options import JobOptions
from meshflow_prefect.uses.judges import Judge, graded_reply, without_reply
from meshflow_prefect.uses.replies import verdicts_of
from meshflow_prefect.uses.variants import Variant


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A case, and what became of its request."""

    custom_id: str
    case: Case
    reply: BatchResult


async def graded(
    answers: Sequence[Answered],
    by: Judge | Grader,
    *,
    asked: Variant,
    pass_mark: int,
    job: JobOptions,
) -> tuple[list[Grade], list[BatchResult]]:
    """Return a grade for each case, in their order, and the judge's replies, if there is one.

    Without a reply there is nothing to grade; such a grade has a `problem`, as that of a judge
    whose reply is no verdict, at every attempt.
    """
    if not isinstance(by, Judge):
        # In a thread: a grader may be anybody's.
        graded_all = [(each.reply, by, each.case) for each in answers]
        return await asyncio.to_thread(lambda: [graded_reply(*each) for each in graded_all]), []
    with_reply = [each for each in answers if each.reply.succeeded]
    verdicts = await _judged(with_reply, by, asked, job)
    grades = {
        each.custom_id: grade_of(verdict, pass_mark=pass_mark)
        for each, verdict in zip(with_reply, verdicts, strict=True)
    }
    return [grades.get(each.custom_id) or without_reply(each.reply) for each in answers], verdicts


async def _judged(
    answers: Sequence[Answered], judge: Judge, asked: Variant, job: JobOptions
) -> list[BatchResult]:
    requests = [
        judge.request(each.custom_id, each.case, asked.question(each.case.values), each.reply)
        for each in answers
    ]
    return await verdicts_of(requests, Verdict, job)
