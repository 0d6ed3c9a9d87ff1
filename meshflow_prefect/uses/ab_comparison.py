"""Replies of several variants to the same cases → each two of them compared. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

from meshflow_prefect.grading import Grade
from meshflow_prefect.models import BatchResult
from meshflow_prefect.significance import CONFIDENCE, compare_paired, paired_difference
from meshflow_prefect.uses.ab_report import CasePreference, PairOutcome

Pairs: TypeAlias = Literal["first", "all"]

_LONGEST_REASON = 300


@dataclass(frozen=True, kw_only=True)
class Duel:
    """Two variants, and their replies to the same cases, in the order of the cases."""

    a: str
    b: str
    replies_a: Sequence[BatchResult]
    replies_b: Sequence[BatchResult]

    def at(self, place: int) -> tuple[BatchResult, BatchResult]:
        """Return both replies to one case."""
        return self.replies_a[place], self.replies_b[place]


def pairs_of(names: Sequence[str], which: Pairs) -> list[tuple[str, str]]:
    """Return which variants are compared: each with the first, or each with each."""
    every = list(combinations(names, 2))
    return every if which == "all" else [pair for pair in every if pair[0] == names[0]]


def confidence_of_each(comparisons: int, confidence: float = CONFIDENCE) -> float:
    """Return how sure each of several comparisons must be for all of them to be, by Bonferroni.

    It holds whatever the comparisons have to do with one another.
    """
    return 1 - (1 - confidence) / comparisons


def preference(case: str, score: float | None, reason: str) -> CasePreference:
    """Return which reply to a case is better, with the reason cut."""
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[:_LONGEST_REASON]}…"
    return CasePreference(id=case, score=score, reason=reason)


def preferred_by_grades(case: str, a: Grade, b: Grade) -> CasePreference:
    """Return which of two graded replies is better: the one with the higher score."""
    if a.problem or b.problem:
        return preference(case, None, a.problem or b.problem)
    if a.score == b.score:
        return preference(case, 0.5, "")
    better, worse = (1.0, a) if b.score > a.score else (0.0, b)
    return preference(case, better, worse.reason)


def compared(
    duel: Duel, preferences: Sequence[CasePreference], *, confidence: float
) -> PairOutcome:
    """Return what the preferences come to, and what each case costs more with B.

    Costs and tokens are compared over the cases to which both have replied.
    """
    decided = [each.score for each in preferences if each.score is not None]
    both = [
        (one, two)
        for one, two in zip(duel.replies_a, duel.replies_b, strict=True)
        if one.succeeded and two.succeeded
    ]
    costs = [(one.cost_usd, two.cost_usd) for one, two in both]
    known = [(one, two) for one, two in costs if one is not None and two is not None]
    return PairOutcome(
        a=duel.a,
        b=duel.b,
        # Of a score and what it lacks to 1, the larger one tells which reply is better.
        comparison=compare_paired([1 - score for score in decided], decided, confidence=confidence),
        cost=None
        if len(known) < len(both)
        else paired_difference(*_columns(known), confidence=confidence),
        tokens=paired_difference(
            *_columns([(one.tokens, two.tokens) for one, two in both]), confidence=confidence
        ),
        preferences=tuple(preferences),
        confidence=confidence,
    )


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [one for one, _ in pairs], [two for _, two in pairs]
