"""How much more than its baseline a set may take, and which of these limits hold. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from math import floor

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.pricing import exact
from meshflow_prefect.uses.cost_figures import CostFigures


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """How much more than its baseline a set may take. None: as much as it likes.

    Raises `InvalidRequestError` for what is no share.
    """

    cost: float | None = 0.1
    """Of the baseline's cost: 0.1 allows 10 % more."""
    tokens: float | None = 0.1
    """Of the baseline's input tokens, and of its output tokens."""
    failures: float | None = 0.0
    """Of all cases: 0.05 of 40 cases allows 2 more to fail."""

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        names = {"cost": "tolerance", "tokens": "token_tolerance", "failures": "failure_tolerance"}
        for name, given in names.items():
            value = getattr(self, name)
            # NaN is in no range, and so is refused too.
            most = 1.0 if name == "failures" else sys.float_info.max
            if value is not None and not 0 <= value <= most:
                upto = " to 1" if name == "failures" else ""
                raise InvalidRequestError(
                    f"{given}: expected a share from 0{upto}, such as 0.1 for 10 %, got {value!r}."
                )


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure beside the baseline's."""

    name: str
    """`cost`, `input tokens`, `output tokens` or `failures`."""
    baseline: float | None
    """None: a cost that is not known."""
    current: float | None
    most: float | None
    """What is allowed; None: anything."""
    passed: bool

    @property
    def change(self) -> float | None:
        """The change as a share of the baseline; None where that is 0, or one is not known."""
        if not self.baseline or self.current is None:
            return None
        return self.current / self.baseline - 1

    @property
    def change_in_words(self) -> str:
        """The change as `+12.3 %`; of failures, and from nothing, as a number."""
        if self.baseline is None or self.current is None:
            return "unknown"
        if self.change is None or self.name == "failures":
            return f"{self.current - self.baseline:+,.6g}"
        return f"{100 * self.change:+.1f} %"

    @property
    def limit(self) -> str:
        """What is allowed, in words; empty where anything is."""
        if self.most is None:
            return ""
        # Of 79.2 tokens 79 are allowed, and of 160.6 not 161.
        return self.figure(self.most if self.name == "cost" else floor(self.most))

    def figure(self, value: float | None) -> str:
        """Return a value of this figure in words."""
        if value is None:
            return "unknown"
        return f"US$ {value:.6f}" if self.name == "cost" else f"{value:,.0f}"


def checks(before: CostFigures, now: CostFigures, allowed: Tolerances) -> tuple[Check, ...]:
    """Return cost, input tokens, output tokens and failures, each beside its limit."""
    share = None if allowed.failures is None else exact(allowed.failures)
    return (
        _growing("cost", before.cost_usd, now.cost_usd, allowed.cost),
        _growing("input tokens", before.input_tokens, now.input_tokens, allowed.tokens),
        _growing("output tokens", before.output_tokens, now.output_tokens, allowed.tokens),
        _check(
            "failures",
            before.failed,
            now.failed,
            None if share is None else before.failed + share * now.cases,
        ),
    )


def _growing(name: str, before: float | None, now: float | None, tolerance: float | None) -> Check:
    if tolerance is None or before is None:
        return _check(name, before, now, None)
    # In decimals: 0.11 is not more than 0.1 and a tenth of it.
    return _check(name, before, now, exact(before) * (1 + exact(tolerance)))


def _check(name: str, before: float | None, now: float | None, most: Decimal | None) -> Check:
    return Check(
        name=name,
        baseline=before,
        current=now,
        most=None if most is None else float(most),
        # What is not known may be anything.
        passed=most is None or (now is not None and exact(now) <= most),
    )
