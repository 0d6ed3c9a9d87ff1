"""Who says how good the replies to a dataset are: a grader, or a model by a rubric. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.grading import Grade, Grader, GraderName, grade, grader_of, not_graded
from meshflow_prefect.judging import judge_request, pair_requests
from meshflow_prefect.models import BatchRequest, BatchResult
from meshflow_prefect.uses.cases import Case

GraderLike: TypeAlias = GraderName | Literal["judge"] | Grader

_REFUSED = "(The model refused to answer.)"


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A model that judges replies by a rubric, in a batch of its own."""

    model: str
    rubric: str = ""
    """For the cases that have no `rubric` of their own."""

    def check(self, case: Case) -> None:
        """Raise `InvalidRequestError` for a case that has no rubric."""
        if not self.rubric_of(case):
            raise InvalidRequestError("column 'rubric' is missing or empty, and no rubric is given")

    def rubric_of(self, case: Case) -> str:
        """Return what a case is judged by."""
        return case.text("rubric") or self.rubric

    def request(
        self, custom_id: str, case: Case, question: str, reply: BatchResult
    ) -> BatchRequest:
        """Return the request for a verdict on one reply."""
        return judge_request(
            custom_id,
            rubric=self.rubric_of(case),
            question=question,
            answer=answer_in(reply),
            expected=case.text("expected"),
            model=self.model,
        )

    def pair(
        self, custom_id: str, case: Case, question: str, a: BatchResult, b: BatchResult
    ) -> tuple[BatchRequest, BatchRequest]:
        """Return the requests for a verdict on two replies, in both orders."""
        return pair_requests(
            custom_id,
            rubric=self.rubric_of(case),
            question=question,
            a=answer_in(a),
            b=answer_in(b),
            expected=case.text("expected"),
            model=self.model,
        )


def answer_in(reply: BatchResult) -> str:
    """Return what a judge reads as the answer: a rubric may ask for a refusal."""
    return _REFUSED if reply.refused else reply.output


def judge_or_grader(grader: GraderLike, *, rubric: str, judge_model: str) -> Judge | Grader:
    """Return what grades.

    Raises `InvalidRequestError` for a name that no grader has, a judge without a model, and a
    rubric or a judge's model that nobody would read.
    """
    if grader == "judge":
        if not judge_model:
            raise InvalidRequestError(
                "judge_model: name the model that judges, for grader='judge'."
            )
        return Judge(model=judge_model, rubric=rubric.strip())
    if isinstance(grader, str) and grader not in get_args(GraderName):
        known = ", ".join([*get_args(GraderName), "judge"])
        raise InvalidRequestError(f"grader: expected one of {known}, got {grader!r}.")
    for name, value in (("rubric", rubric), ("judge_model", judge_model)):
        if value:
            raise InvalidRequestError(f"{name}: only grader='judge' reads it, got {grader!r}.")
    return grader_of(grader)


def check_gradable(case: Case, by: Judge | Grader) -> None:
    """Raise `InvalidRequestError` for a case whose reply could not be graded."""
    if isinstance(by, Judge):
        by.check(case)
    elif "expected" not in case.values:
        raise InvalidRequestError("column 'expected' is missing")
    else:
        by.check(case.values["expected"])


def graded_reply(reply: BatchResult, by: Grader, case: Case) -> Grade:
    """Return the grade of a reply; without one there is nothing to grade, and `problem` says so."""
    if not reply.succeeded:
        return without_reply(reply)
    return grade(reply, by, case.values["expected"])


def without_reply(reply: BatchResult) -> Grade:
    """Return the grade of a request that got no reply."""
    return not_graded(f"no reply: {reply.error or reply.status}")


def name_of(by: Judge | Grader, given: GraderLike) -> str:
    """Return what a grader is called in a report."""
    if isinstance(by, Judge):
        return f"judge {by.model}"
    return given if isinstance(given, str) else type(given).__name__
