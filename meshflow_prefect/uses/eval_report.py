"""What an eval comes to: its score with an interval, its failures, its cost, and the trend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshflow_prefect.errors import BelowThresholdError
from meshflow_prefect.models import ResultStatus
from meshflow_prefect.reporting import counted
from meshflow_prefect.significance import Interval
from meshflow_prefect.uses.eval_history import EvalRun, RunComparison
from meshflow_prefect.uses.spending import Spending

_SHOWN = 20
"""How many failures are told of; `grades` has them all."""


@dataclass(frozen=True, kw_only=True)
class CaseGrade:
    """How good the reply to one case is."""

    id: str
    score: float
    """From 0.0 to 1.0."""
    passed: bool
    reason: str = ""
    """Why, in words, cut; empty where it passed and there is nothing to say."""
    is_graded: bool = True
    """False where there is no reply, or the judge gave no verdict: the score is 0.0 then."""

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class EvalReport:
    """The report of one eval."""

    name: str
    dataset: str
    """Where the cases come from."""
    model: str
    grader: str
    """`exact`, `regex`, `json`, `judge` and its model, or the class of a grader."""
    score: float
    """The mean over all cases. A case without a reply or a verdict counts 0.0: what could not be
    seen has not passed."""
    interval: Interval
    """Of the score, 95 %."""
    pass_interval: Interval
    """Of the pass rate, 95 %."""
    threshold: float | None
    """The lowest score that passes; None: any."""
    statuses: Mapping[ResultStatus, int]
    """How many requests ended how."""
    refused: int
    """Replies in which the model declined to answer."""
    grades: tuple[CaseGrade, ...]
    """Of every case, in the order of the dataset."""
    evaluated: Spending
    """What the replies took."""
    judged: Spending
    """What the judge took; nothing without a judge."""
    comparison: RunComparison | None = None
    """With the last run of this eval that was graded in the same way; None where there is none."""
    trend: tuple[EvalRun, ...] = ()
    """The last runs, the oldest first and this one last; empty without a history."""

    @property
    def cases(self) -> int:
        """How many cases there are."""
        return len(self.grades)

    @property
    def passed_cases(self) -> int:
        """How many of them passed."""
        return sum(grade.passed for grade in self.grades)

    @property
    def pass_rate(self) -> float:
        """Their share."""
        return self.passed_cases / self.cases

    @property
    def ungraded(self) -> int:
        """Cases without a reply, or without a verdict of the judge; they count as failed."""
        return sum(not grade.is_graded for grade in self.grades)

    @property
    def failures(self) -> tuple[CaseGrade, ...]:
        """The first of the cases that did not pass, the worst first; at most 20."""
        failed = (grade for grade in self.grades if not grade.passed)
        return tuple(sorted(failed, key=lambda grade: grade.score)[:_SHOWN])

    @property
    def spent(self) -> Spending:
        """Replies and judge together."""
        return self.evaluated + self.judged

    @property
    def passed(self) -> bool:
        """Whether the score is at least the threshold."""
        return self.threshold is None or self.score >= self.threshold

    def raise_below_threshold(self) -> None:
        """Raise `BelowThresholdError`, with the figures of this report, unless it has passed."""
        if self.passed:
            return
        first = "; ".join(f"{grade.id}: {grade.reason}" for grade in self.failures[:3])
        raise BelowThresholdError(
            f"{self}. That is below the threshold of {self.threshold}."
            + (f" First failures: {first}." if first else ""),
            name=self.name,
            score=self.score,
            threshold=self.threshold,
            report=self.figures(),
        )

    def figures(self) -> dict[str, Any]:
        """Return what `to_dict` has but for the grades of single cases, those of failures aside."""
        names = (
            *("name", "dataset", "model", "grader", "score", "threshold", "refused", "cases"),
            *("passed_cases", "pass_rate", "ungraded", "passed"),
        )
        compared = self.comparison
        return {name: getattr(self, name) for name in names} | {
            "interval": self.interval.to_dict(),
            "pass_interval": self.pass_interval.to_dict(),
            "statuses": dict(self.statuses),
            "evaluated": self.evaluated.to_dict(),
            "judged": self.judged.to_dict(),
            "spent": self.spent.to_dict(),
            "comparison": None if compared is None else compared.to_dict(),
            "trend": [run.to_dict() for run in self.trend],
            "failures": [grade.to_dict() for grade in self.failures],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return self.figures() | {"grades": [grade.to_dict() for grade in self.grades]}

    def __str__(self) -> str:
        words = (
            f"{self.name}: score {self.score:.3f} ({self.interval.low:.3f} to "
            f"{self.interval.high:.3f}), {self.passed_cases:,} of "
            f"{counted(self.cases, 'case')} passed"
        )
        if self.ungraded:
            words += f", {self.ungraded:,} could not be graded"
        words += f"; {self.model}, {self.spent.cost}"
        return words if self.comparison is None else f"{words}; {self.comparison}"
