"""What a run of a baseline set has cost, in all and by case; and the baseline that is stored. Pure.

A baseline is a JSON object, small enough to be kept beside the code, and to be read in a diff.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Self

import orjson

from meshflow_prefect import exact_json
from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.models import BatchResult
from meshflow_prefect.pricing import billed_tokens, exact
from meshflow_prefect.reporting import standard_cost

_KIND = "meshflow-prefect cost baseline"
_VERSION = 1


class CaseCost(NamedTuple):
    """What one case has cost, of all attempts."""

    input_tokens: int
    """Cache writes and reads included."""
    output_tokens: int
    cost_usd: float | None
    """US$ at the batch price; None where it is not known."""

    @classmethod
    def of(cls, result: BatchResult) -> Self:
        """Return what was billed for a result."""
        return cls(*billed_tokens(result.billed_usage), result.cost_usd)


@dataclass(frozen=True, kw_only=True)
class CostFigures:
    """What a run of a baseline set comes to."""

    cases: int
    failed: int
    """Cases without a reply, or with one that is not of the output type."""
    input_tokens: int
    """Of all attempts; cache writes and reads included."""
    output_tokens: int
    cost_usd: float | None
    """US$ at the batch price. None where the price of a reply is not known."""
    standard_cost_usd: float
    """US$, the same tokens outside of a batch, as far as prices are known."""

    @classmethod
    def of(cls, results: Iterable[BatchResult]) -> Self:
        """Add up what was billed for the results of a run."""
        results = list(results)
        costs = [CaseCost.of(result) for result in results]
        # A row that is missing may have been billed; it counts as failed, and its cost as 0.
        known = [result.cost_usd for result in results if result.status != "missing"]
        total = sum((exact(cost) for cost in known if cost is not None), Decimal(0))
        return cls(
            cases=len(results),
            failed=sum(not result.succeeded for result in results),
            input_tokens=sum(cost.input_tokens for cost in costs),
            output_tokens=sum(cost.output_tokens for cost in costs),
            cost_usd=None if None in known else float(total),
            standard_cost_usd=float(standard_cost(results)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CostBaseline:
    """What a run of a baseline set has cost, to compare later runs with."""

    models: tuple[str, ...]
    """Those that answered, by name."""
    set_digest: str
    """Of the rows of the set, whatever is asked of them."""
    asked_digest: str
    """Of what is asked of each row: prompt, parameters, …"""
    figures: CostFigures
    by_case: Mapping[str, CaseCost] = field(default_factory=dict)
    """By the id of the case; empty where there is no room for it."""
    made_at: str
    """When it was stored, in ISO 8601."""
    run_id: str
    """The root flow run that has stored it."""

    @classmethod
    def of(cls, stored: Any, place: str) -> Self:
        """Return the baseline that was loaded from a place.

        Raises `InvalidRequestError` where something else is there.
        """
        if not isinstance(stored, Mapping) or stored.get("kind") != _KIND:
            raise InvalidRequestError(
                f"{place!r} holds something else than a cost baseline; it is left as it is. Name "
                "another place."
            )
        if stored.get("version") != _VERSION:
            raise InvalidRequestError(
                f"{place!r}: the baseline is of version {stored.get('version')!r}, and this "
                f"meshflow-prefect reads version {_VERSION}. Name another place, or update "
                "meshflow-prefect."
            )
        try:
            return cls(
                models=tuple(stored["models"]),
                set_digest=stored["set"],
                asked_digest=stored["asked"],
                figures=CostFigures(**stored["figures"]),
                by_case={name: CaseCost(*cost) for name, cost in stored["by_case"].items()},
                made_at=stored["made_at"],
                run_id=stored["run_id"],
            )
        # What an object that somebody has edited does wherever it is looked into.
        except (AttributeError, KeyError, TypeError) as error:
            raise InvalidRequestError(
                f"{place!r}: the baseline is damaged ({error!r}). Restore it, or remove it and "
                "make it anew."
            ) from None

    def to_dict(self, *, by_case: bool = True) -> dict[str, Any]:
        """Return what `of` is given, as JSON values; without single cases where that is asked."""
        return {
            "kind": _KIND,
            "version": _VERSION,
            "made_at": self.made_at,
            "run_id": self.run_id,
            "models": list(self.models),
            "set": self.set_digest,
            "asked": self.asked_digest,
            "figures": self.figures.to_dict(),
            "by_case": {name: list(cost) for name, cost in self.by_case.items()} if by_case else {},
        }


def digest_of(value: Any) -> str:
    """Return a digest of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(exact_json.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
