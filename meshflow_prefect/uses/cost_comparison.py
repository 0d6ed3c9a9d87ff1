"""What a baseline set costs now, beside what it cost before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from meshflow_prefect.errors import CostGateError
from meshflow_prefect.pricing import exact
from meshflow_prefect.uses.cost_figures import CaseCost, CostBaseline, CostFigures
from meshflow_prefect.uses.cost_limits import Check, Tolerances, checks

NAMED = 10
"""How many of the cases that grew are told of."""

_NAMED_IN_ERROR = 3


@dataclass(frozen=True, kw_only=True)
class CaseGrowth:
    """A case that costs more than in the baseline."""

    id: str
    before: CaseCost
    now: CaseCost

    @property
    def usd(self) -> float | None:
        """By how much, in US$; None where a price is not known."""
        if self.now.cost_usd is None or self.before.cost_usd is None:
            return None
        return float(exact(self.now.cost_usd) - exact(self.before.cost_usd))

    @property
    def tokens(self) -> int:
        """By how many tokens."""
        return sum(self.now[:2]) - sum(self.before[:2])


@dataclass(frozen=True, kw_only=True)
class CostComparison:
    """What a baseline set costs, and how that compares with its baseline."""

    source: str
    """Where the set comes from."""
    place: str
    """Where the baseline is."""
    models: tuple[str, ...]
    figures: CostFigures
    """Of this run."""
    baseline: CostFigures | None
    """What this run is compared with; None where there was nothing to compare with."""
    made_at: str
    """When that baseline was stored, in ISO 8601; empty without one."""
    asked_otherwise: bool
    """Whether the prompt or the parameters are others than the baseline's."""
    checks: tuple[Check, ...]
    """Of cost, input tokens, output tokens and failures; empty without a baseline."""
    grew: tuple[CaseGrowth, ...]
    """The cases that grew most, the first by most, at most 10 of them. Empty where the baseline
    has no room for single cases."""
    updated: bool = False
    """Whether this run is the baseline from now on."""

    @property
    def passed(self) -> bool:
        """Whether all limits hold, or are set anew."""
        return self.updated or all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        values = asdict(self) | {"passed": self.passed, "models": list(self.models)}
        values["checks"] = [asdict(check) | {"change": check.change} for check in self.checks]
        values["grew"] = [
            {
                "id": each.id,
                "usd": each.usd,
                "tokens": each.tokens,
                "before": each.before._asdict(),
                "now": each.now._asdict(),
            }
            for each in self.grew
        ]
        return values

    def raise_if_failed(self) -> None:
        """Raise `CostGateError`, with the figures, unless the gate has passed."""
        if self.passed:
            return
        failed = [check for check in self.checks if not check.passed]
        told = "; ".join(f"{_told(check)}, at most {check.limit} allowed" for check in failed)
        grown = ", ".join(f"{each.id!r} ({_growth(each)})" for each in self.grew[:_NAMED_IN_ERROR])
        raise CostGateError(
            f"{self.source} takes more than its baseline in {self.place!r} allows: {told}."
            + (f" It grew most in {grown}." if grown else "")
            + (" The prompt or the parameters have changed since." if self.asked_otherwise else "")
            + " If that is meant, run it with update_baseline (--update-baseline).",
            comparison=self,
        )

    def __str__(self) -> str:
        cost = self.figures.cost_usd
        spent = "an unknown sum" if cost is None else f"US$ {cost:.6f}"
        words = (
            f"{self.figures.cases:,} cases of {self.source} by {', '.join(self.models)}: {spent} "
            f"(standard price US$ {self.figures.standard_cost_usd:.6f}), "
            f"{self.figures.input_tokens:,} tokens in, {self.figures.output_tokens:,} out, "
            f"{self.figures.failed:,} failed"
        )
        if self.checks:
            words += ". Beside the baseline: " + "; ".join(map(_told, self.checks))
        if self.updated:
            return f"{words}. Stored as the baseline in {self.place!r}"
        return f"{words}. The gate has {'passed' if self.passed else 'FAILED'}"


def compare(
    baseline: CostBaseline | None, now: CostBaseline, tolerances: Tolerances, **told: Any
) -> CostComparison:
    """Compare a run with a baseline of the same models and set, or with none."""
    if baseline is None:
        return CostComparison(
            models=now.models,
            figures=now.figures,
            baseline=None,
            made_at="",
            asked_otherwise=False,
            checks=(),
            grew=(),
            **told,
        )
    return CostComparison(
        models=now.models,
        figures=now.figures,
        baseline=baseline.figures,
        made_at=baseline.made_at,
        asked_otherwise=baseline.asked_digest != now.asked_digest,
        checks=checks(baseline.figures, now.figures, tolerances),
        grew=_grown(baseline.by_case, now.by_case),
        **told,
    )


def _grown(before: Mapping[str, CaseCost], now: Mapping[str, CaseCost]) -> tuple[CaseGrowth, ...]:
    both = [
        CaseGrowth(id=name, before=before[name], now=now[name]) for name in now if name in before
    ]
    grown = [each for each in both if (each.usd or 0) > 0 or each.tokens > 0]
    grown.sort(key=lambda each: (each.usd or 0.0, each.tokens), reverse=True)
    return tuple(grown[:NAMED])


def _told(check: Check) -> str:
    return (
        f"{check.name} {check.figure(check.current)}, {check.change_in_words} from "
        f"{check.figure(check.baseline)}"
    )


def _growth(case: CaseGrowth) -> str:
    money = "" if case.usd is None else f"US$ {case.usd:+.6f}, "
    return f"{money}{case.tokens:+,} tokens"
