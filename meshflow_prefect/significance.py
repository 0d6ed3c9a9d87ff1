"""Scores → how sure they are, and whether one sample is better than another. Pure, with scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.extras import import_extra

CONFIDENCE = 0.95

_NOISE = 1e-12


@dataclass(frozen=True)
class Interval:
    """Where a value lies, as far as the data say."""

    low: float
    high: float
    confidence: float = CONFIDENCE
    """The share of such intervals that hold the true value."""

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class PairedComparison:
    """Scores of A and of B for the same cases, compared case by case."""

    cases: int
    mean_a: float
    mean_b: float
    wins: int
    """Cases in which B has the higher score."""
    losses: int
    """Cases in which A has the higher score."""
    ties: int
    win_rate: float | None
    """The share of wins among the cases that are no ties; None where all are."""
    interval: Interval | None
    """Of the win rate. 0.5 is no difference."""
    p_value: float
    """How often chance gives wins and losses at least as uneven where there is no difference."""

    @property
    def difference(self) -> float:
        """The mean score of B less that of A."""
        return self.mean_b - self.mean_a

    @property
    def is_significant(self) -> bool:
        """Whether the interval of the win rate does not hold 0.5."""
        return self.interval is not None and not self.interval.low <= 0.5 <= self.interval.high

    @property
    def better(self) -> str:
        """`a` or `b`, the one that is significantly better; empty when neither is."""
        if not self.is_significant:
            return ""
        return "b" if self.wins > self.losses else "a"

    def to_dict(self) -> dict[str, Any]:
        """Return every field and property as JSON values."""
        names = ("difference", "is_significant", "better")
        return asdict(self) | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class PairedDifference:
    """By how much a quantity of B, such as its cost, differs from that of A in the same cases."""

    cases: int
    mean: float | None
    """Of B less A; None where there are no cases."""
    interval: Interval | None
    """Of the mean; None of fewer than two cases."""

    @property
    def is_significant(self) -> bool:
        """Whether the interval does not hold 0."""
        return self.interval is not None and not self.interval.low <= 0.0 <= self.interval.high

    def to_dict(self) -> dict[str, Any]:
        """Return every field and property as JSON values."""
        return asdict(self) | {"is_significant": self.is_significant}


def check_installed() -> None:
    """Raise `MeshflowError` where scipy is not installed: sooner than when it is needed."""
    _stats()


def pass_rate_interval(passed: int, total: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the Wilson interval of a pass rate; of no cases, everything from 0 to 1.

    Raises `MeshflowError` where scipy is not installed.
    """
    stats = _stats()
    if not total:
        return Interval(0.0, 1.0, confidence)
    found = stats.binomtest(passed, total).proportion_ci(confidence, method="wilson")
    return Interval(float(found.low), float(found.high), confidence)


def mean_interval(scores: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of the mean of scores between 0 and 1, by Student's t.

    Of fewer than two scores nothing is known: from 0 to 1. Scores of which all are 0 or 1 have a
    pass rate, whose interval is better, above all where nearly all of them are equal.

    Raises `MeshflowError` where scipy is not installed.
    """
    stats = _stats()
    if all(score in (0.0, 1.0) for score in scores):
        return pass_rate_interval(round(sum(scores)), len(scores), confidence=confidence)
    if len(scores) < 2:
        return Interval(0.0, 1.0, confidence)
    if len(set(scores)) == 1:
        return Interval(scores[0], scores[0], confidence)
    found = stats.ttest_1samp(scores, 0.0).confidence_interval(confidence)
    return Interval(max(0.0, float(found.low)), min(1.0, float(found.high)), confidence)


def compare_paired(
    a: Sequence[float], b: Sequence[float], *, confidence: float = CONFIDENCE
) -> PairedComparison:
    """Compare two samples of scores, of which each pair belongs to one case.

    The test is the exact sign test, on scores of 0 and 1 known as McNemar's: it asks how many of
    the cases that differ B has won, whatever the scores are. The interval of the win rate is
    that of Clopper and Pearson, which holds 0.5 exactly when the test finds nothing. Where there is
    no difference, at most 5 % of comparisons (1 - `confidence`) are called significant.

    Raises `InvalidRequestError` for samples of different sizes, `MeshflowError` where scipy is not
    installed.
    """
    stats = _stats()
    _check_sizes(a, b)
    wins = sum(two > one for one, two in zip(a, b, strict=True))
    losses = sum(two < one for one, two in zip(a, b, strict=True))
    decided = wins + losses
    interval, p_value = None, 1.0
    if decided:
        test = stats.binomtest(wins, decided, 0.5)
        found = test.proportion_ci(confidence, method="exact")
        interval = Interval(float(found.low), float(found.high), confidence)
        p_value = float(test.pvalue)
    return PairedComparison(
        cases=len(a),
        mean_a=_mean(a),
        mean_b=_mean(b),
        wins=wins,
        losses=losses,
        ties=len(a) - decided,
        win_rate=wins / decided if decided else None,
        interval=interval,
        p_value=p_value,
    )


def paired_difference(
    a: Sequence[float], b: Sequence[float], *, confidence: float = CONFIDENCE
) -> PairedDifference:
    """Return the mean of B less A over the same cases, with its interval by Student's t.

    Raises `InvalidRequestError` for samples of different sizes, `MeshflowError` where scipy is not
    installed.
    """
    stats = _stats()
    _check_sizes(a, b)
    differences = [two - one for one, two in zip(a, b, strict=True)]
    if not differences:
        return PairedDifference(0, None, None)
    mean, interval = _mean(differences), None
    # What floating point makes of equal differences is not spread.
    spread = max(differences) - min(differences)
    if len(differences) > 1 and spread <= _NOISE * max(map(abs, (*a, *b))):
        interval = Interval(mean, mean, confidence)
    elif len(differences) > 1:
        found = stats.ttest_1samp(differences, 0.0).confidence_interval(confidence)
        interval = Interval(float(found.low), float(found.high), confidence)
    return PairedDifference(len(differences), mean, interval)


def compare_pass_counts(passed_a: int, total_a: int, passed_b: int, total_b: int) -> float:
    """Return the p-value of Fisher's exact test that two pass rates are the same.

    For samples of different cases, of which nothing but the counts is known. Raises `MeshflowError`
    where scipy is not installed.
    """
    table = [[passed_a, total_a - passed_a], [passed_b, total_b - passed_b]]
    return float(_stats().fisher_exact(table).pvalue)


def chance(p_value: float) -> str:
    """Return a p-value in words, `p = 0.031`; small ones only say that they are."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _check_sizes(a: Sequence[float], b: Sequence[float]) -> None:
    if len(a) != len(b):
        raise InvalidRequestError(
            f"Paired samples: {len(a)} and {len(b)}; each case needs a score in both."
        )


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0


def _stats() -> Any:
    return import_extra("scipy.stats", extra="statistics", what="The statistics of scores")
