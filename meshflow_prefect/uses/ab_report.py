"""What an A/B test comes to: the variants, each comparison of two, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from meshflow_prefect.models import ResultStatus
from meshflow_prefect.reporting import counted
from meshflow_prefect.significance import (
    CONFIDENCE,
    Interval,
    PairedComparison,
    PairedDifference,
    chance,
)
from meshflow_prefect.uses.markdown import money, percent
from meshflow_prefect.uses.spending import Spending


@dataclass(frozen=True, kw_only=True)
class VariantOutcome:
    """What came of one variant."""

    name: str
    model: str
    statuses: Mapping[ResultStatus, int]
    """How many requests ended how."""
    refused: int
    """Replies in which the model declined to answer."""
    spent: Spending
    score: float | None = None
    """The mean over the cases with a reply; None with a judge, who compares and gives no scores."""
    interval: Interval | None = None
    """Of the score, 95 %."""
    passed_cases: int | None = None
    """Cases that passed; None with a judge."""

    @property
    def replies(self) -> int:
        """Cases with a reply."""
        return self.statuses.get("succeeded", 0)

    def to_dict(self) -> dict[str, Any]:
        """Return every field and `replies` as JSON values."""
        return asdict(self) | {"spent": self.spent.to_dict(), "replies": self.replies}


@dataclass(frozen=True, kw_only=True)
class CasePreference:
    """Which of two replies to one case is better."""

    id: str
    score: float | None
    """1.0: B; 0.0: A; 0.5: neither. A judge that has another opinion in the other order may stand
    between. None: it cannot be said, for lack of a reply or of a verdict."""
    reason: str = ""
    """Why, in words, cut."""

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PairOutcome:
    """Two variants compared, A and B, case by case."""

    a: str
    b: str
    comparison: PairedComparison
    """Over the cases of which it can be said; the win rate is that of B."""
    cost: PairedDifference | None
    """US$ that a case costs more with B than with A; None where a price is not known."""
    tokens: PairedDifference
    """Tokens that a case takes more with B."""
    preferences: tuple[CasePreference, ...]
    """Of every case, in the order of the dataset."""
    confidence: float = CONFIDENCE
    """Of the intervals of this comparison: higher where there are several of them."""

    @property
    def undecided(self) -> int:
        """Cases of which it cannot be said which reply is better."""
        return len(self.preferences) - self.comparison.cases

    @property
    def better(self) -> str:
        """The name of the variant that is significantly better; empty where neither is."""
        found = self.comparison.better
        return {"a": self.a, "b": self.b}.get(found, "")

    @property
    def worse(self) -> str:
        """The name of the variant that is significantly worse; empty where neither is."""
        found = self.comparison.better
        return {"a": self.b, "b": self.a}.get(found, "")

    @property
    def verdict(self) -> str:
        """Which is better, in words, and when that cannot be told from chance."""
        found = self.comparison
        if not found.cases:
            return f"Nothing can be said of {self.a!r} and {self.b!r}: no case could be compared"
        neither = f"No significant difference between {self.a!r} and {self.b!r}"
        if found.interval is None:
            return f"{neither}: {counted(found.cases, 'case')}, all of them ties"
        winner, wins, rate, low, high = self._of_the_winner(found, found.interval)
        decided = found.wins + found.losses
        figures = (
            f"wins {wins:,} of {counted(decided, 'case')} that differ ({percent(rate)}, "
            f"{100 * self.confidence:.4g} % interval {percent(low)} to {percent(high)}; "
            f"{counted(found.ties, 'tie')}; {chance(found.p_value)})"
        )
        if not self.better:
            return f"{neither}: {winner!r} {figures}"
        return f"{winner!r} is better than {self.worse!r}: it {figures}"

    @property
    def expense(self) -> str:
        """What B costs beside A, in words."""
        if self.cost is None or self.cost.mean is None:
            return f"What {self.b!r} costs beside {self.a!r} is not known"
        if not self.cost.is_significant:
            return f"{self.b!r} costs about as much as {self.a!r}"
        more = "more" if self.cost.mean > 0 else "less"
        return f"{self.b!r} costs {money(abs(self.cost.mean))} a case {more} than {self.a!r}"

    def _of_the_winner(
        self, found: PairedComparison, interval: Interval
    ) -> tuple[str, int, float, float, float]:
        rate = found.wins / (found.wins + found.losses)
        if found.wins >= found.losses:
            return self.b, found.wins, rate, interval.low, interval.high
        return self.a, found.losses, 1 - rate, 1 - interval.high, 1 - interval.low

    def figures(self) -> dict[str, Any]:
        """Return what `to_dict` has but for the single cases."""
        return {
            **{name: getattr(self, name) for name in ("a", "b", "undecided", "better")},
            **{name: getattr(self, name) for name in ("verdict", "expense", "confidence")},
            "comparison": self.comparison.to_dict(),
            "cost": None if self.cost is None else self.cost.to_dict(),
            "tokens": self.tokens.to_dict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return self.figures() | {"preferences": [each.to_dict() for each in self.preferences]}


@dataclass(frozen=True, kw_only=True)
class ABReport:
    """The report of an A/B test."""

    name: str
    dataset: str
    """Where the cases come from."""
    grader: str
    """`exact`, `regex`, `json`, `judge` and its model, or the class of a grader."""
    cases: int
    """How many each variant was asked."""
    variants: tuple[VariantOutcome, ...]
    """In the order in which they were given."""
    pairs: tuple[PairOutcome, ...]
    """Every comparison that was made; the earlier variant is A."""
    judged: Spending
    """What the judge took; nothing without a judge."""
    confidence: float = CONFIDENCE
    """That all intervals of win rates hold together."""

    @property
    def winner(self) -> str:
        """The variant that is significantly better than each of the others; empty if none is."""
        for variant in self.variants:
            name = variant.name
            beaten = {
                pair.a if name == pair.b else pair.b for pair in self.pairs if pair.better == name
            }
            if len(beaten) == len(self.variants) - 1:
                return name
        return ""

    @property
    def correction(self) -> str:
        """What was done because there are several comparisons; empty for one."""
        if len(self.pairs) < 2:
            return ""
        return (
            f"Bonferroni, {len(self.pairs)} comparisons: each interval is one of "
            f"{100 * self.pairs[0].confidence:.4g} %, so that in "
            f"{100 * self.confidence:.4g} % of tests all of them hold at once"
        )

    @property
    def verdict(self) -> str:
        """The verdicts of all comparisons."""
        return "; ".join(pair.verdict for pair in self.pairs)

    @property
    def spent(self) -> Spending:
        """All variants and the judge together."""
        return sum((each.spent for each in self.variants), self.judged)

    def figures(self) -> dict[str, Any]:
        """Return what `to_dict` has but for the single cases."""
        names = ("name", "dataset", "grader", "cases", "winner", "verdict", "correction")
        return {name: getattr(self, name) for name in names} | {
            "confidence": self.confidence,
            "variants": [each.to_dict() for each in self.variants],
            "pairs": [each.figures() for each in self.pairs],
            "judged": self.judged.to_dict(),
            "spent": self.spent.to_dict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return self.figures() | {"pairs": [each.to_dict() for each in self.pairs]}

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.verdict}; {counted(self.cases, 'case')}, "
            f"{self.spent.tokens:,} tokens, {money(self.spent.cost_usd)}"
        )
