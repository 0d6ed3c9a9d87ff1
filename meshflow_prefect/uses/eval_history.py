"""What the runs of an eval leave for the next ones: figures, and scores to pair cases by. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, TypeAlias

from meshflow_prefect.errors import SourceError
from meshflow_prefect.significance import (
    CONFIDENCE,
    PairedComparison,
    chance,
    compare_paired,
    compare_pass_counts,
)

Change: TypeAlias = Literal["better", "worse", "no significant difference"]

_MOST_SCORES = 10_000
_FEW_RUNS, _FEW_SCORES = 7, 100
"""Runs, and characters of scores, that a small place has rather than more of the other."""
_KEY_DIGITS, _SCORE_DIGITS = 8, 2
_WITH_SCORES = 2
"""Runs that keep scores: the newest, and the one before it, for a retry of the newest."""


@dataclass(frozen=True, kw_only=True)
class EvalRun:
    """The figures of one run of an eval."""

    run_id: str
    """The root flow run."""
    name: str
    """Of the eval: several may share a history."""
    at: str
    """When it was graded first (ISO 8601, UTC)."""
    model: str
    grader: str
    score: float
    low: float
    """Of the interval of the score."""
    high: float
    cases: int
    passed_cases: int
    ungraded: int
    cost_usd: float | None
    """US$, the judge's included."""
    passed: bool
    """Whether the score was high enough."""
    scores: str = ""
    """Of the graded cases, packed; see `packed`."""

    @property
    def graded(self) -> int:
        """Cases with a grade."""
        return self.cases - self.ungraded

    def to_dict(self) -> dict[str, Any]:
        """Return every field but the scores as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "scores"}


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """A run of an eval against the one before it."""

    previous: EvalRun
    difference: float
    """The score less that of the previous run."""
    change: Change
    p_value: float
    """How often chance alone makes such a difference, or a larger one."""
    paired: PairedComparison | None
    """The cases that both runs have graded, the previous run as A; None where the history has too
    few of them: then the pass rates are compared, as those of different cases."""
    confidence: float = CONFIDENCE

    @property
    def is_significant(self) -> bool:
        """Whether the difference is more than chance makes in 1 - `confidence` of all runs."""
        return self.change != "no significant difference"

    def to_dict(self) -> dict[str, Any]:
        """Return every field and property as JSON values."""
        values = {name: getattr(self, name) for name in ("difference", "change", "p_value")}
        return values | {
            "previous": self.previous.to_dict(),
            "paired": None if self.paired is None else self.paired.to_dict(),
            "confidence": self.confidence,
            "is_significant": self.is_significant,
        }

    def __str__(self) -> str:
        what = f"{self.change} {'than' if self.is_significant else 'to'} the last run"
        how = "by the pass rates"
        if (pairs := self.paired) is not None:
            how = (
                f"of {pairs.cases:,} cases that both graded, {pairs.wins:,} got better and "
                f"{pairs.losses:,} worse"
            )
        last = self.previous
        when = last.at[:16].replace("T", " ")
        return (
            f"{what}: {self.difference:+.3f} from {last.score:.3f} ({when}, {last.model}); {how}, "
            f"{chance(self.p_value)}"
        )


class EvalHistory:
    """The last runs of one or more evals, the oldest first."""

    def __init__(self, runs: Iterable[EvalRun] = ()) -> None:
        self.runs = tuple(runs)

    @classmethod
    def of(cls, stored: Any, place: str) -> Self:
        """Return what was stored at a place; nothing stored is no runs.

        Raises `SourceError` where something else is stored there.
        """
        if stored is None:
            return cls()
        names = {each.name for each in fields(EvalRun)}
        runs = stored.get("eval_runs") if isinstance(stored, Mapping) else None
        if not isinstance(runs, list) or not all(
            isinstance(run, Mapping) and names - {"scores"} <= run.keys() for run in runs
        ):
            raise SourceError(
                f"{place!r} holds something else than the history of an eval. Name another place, "
                "or remove it to begin anew."
            )
        # A later version may keep more of a run.
        return cls(EvalRun(**{n: run[n] for n in names if n in run}) for run in runs)

    def before(self, run_id: str, name: str) -> list[EvalRun]:
        """Return the runs of an eval that came before this one."""
        found: list[EvalRun] = []
        for run in self.runs:
            if run.name == name:
                if run.run_id == run_id:
                    break
                found.append(run)
        return found

    def last(self, run: EvalRun) -> EvalRun | None:
        """Return the run before this one that was graded in the same way, by whatever model."""
        found = [each for each in self.before(run.run_id, run.name) if each.grader == run.grader]
        return found[-1] if found else None

    def find(self, run_id: str, name: str) -> EvalRun | None:
        """Return what an earlier attempt of this run has left."""
        found = (run for run in self.runs if (run.run_id, run.name) == (run_id, name))
        return next(found, None)

    def with_run(self, run: EvalRun, *, keep: int) -> EvalHistory:
        """Return the history with a run, in the place of what an earlier attempt of it left."""
        if self.find(run.run_id, run.name) is None:
            runs = [*self.runs, run]
        else:
            same = (run.run_id, run.name)
            runs = [run if (each.run_id, each.name) == same else each for each in self.runs]
        mine = [each for each in runs if each.name == run.name]
        kept = mine[-keep:]
        pairable = mine[-_WITH_SCORES:]
        return EvalHistory(
            each if each.name != run.name or each in pairable else replace(each, scores="")
            for each in runs
            if each.name != run.name or each in kept
        )

    def fitted(self, fits: Callable[[Any], bool]) -> EvalHistory:
        """Return as much of the history as a place takes: fewer runs, then fewer scores."""
        runs = list(self.runs)
        while not fits(EvalHistory(runs).to_dict()):
            longest = max(runs, key=lambda run: len(run.scores))
            has_many = len(longest.scores) >= _FEW_SCORES
            if len(runs) > (_FEW_RUNS if has_many else 1):
                del runs[0]
            elif longest.scores:
                runs[runs.index(longest)] = replace(longest, scores=_fewer(longest.scores))
            else:
                break
        return EvalHistory(runs)

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored, as JSON values."""
        return {"eval_runs": [asdict(run) for run in self.runs]}


def packed(scores: Mapping[str, float]) -> str:
    """Return the scores of cases by their ids as a short text, to a hundredth.

    A case takes ten characters, a hash of its id and its score, in the order of the hashes. Of many
    cases those with the smallest hashes are kept: the same ones in every run, whatever comes into
    the dataset or leaves it.
    """
    items = sorted(f"{_key(case)}{round(100 * score):02x}" for case, score in scores.items())
    return "".join(items[:_MOST_SCORES])


def unpacked(text: str) -> dict[str, float]:
    """Return the scores by the hashes of the ids."""
    size = _KEY_DIGITS + _SCORE_DIGITS
    items = (text[start : start + size] for start in range(0, len(text), size))
    return {item[:_KEY_DIGITS]: int(item[_KEY_DIGITS:], 16) / 100 for item in items}


def compare_runs(previous: EvalRun, run: EvalRun) -> RunComparison:
    """Compare a run with the one before it: case by case where half of its cases can be paired."""
    earlier, now = unpacked(previous.scores), unpacked(run.scores)
    common = [key for key in now if key in earlier]
    change: Change = "no significant difference"
    paired = None
    if common and 2 * len(common) >= len(now):
        paired = compare_paired([earlier[key] for key in common], [now[key] for key in common])
        p_value = paired.p_value
        if paired.is_significant:
            change = "better" if paired.better == "b" else "worse"
    else:
        p_value = compare_pass_counts(
            previous.passed_cases, previous.graded, run.passed_cases, run.graded
        )
        if p_value < 1 - CONFIDENCE:
            went_up = run.passed_cases * previous.graded > previous.passed_cases * run.graded
            change = "better" if went_up else "worse"
    return RunComparison(
        previous=replace(previous, scores=""),
        difference=run.score - previous.score,
        change=change,
        p_value=p_value,
        paired=paired,
    )


def trend(runs: Sequence[EvalRun]) -> tuple[EvalRun, ...]:
    """Return the figures of runs without their scores."""
    return tuple(replace(run, scores="") for run in runs)


def _key(case: str) -> str:
    return hashlib.blake2b(case.encode(), digest_size=_KEY_DIGITS // 2).hexdigest()


def _fewer(scores: str) -> str:
    """Return the scores of three quarters of the cases."""
    size = _KEY_DIGITS + _SCORE_DIGITS
    return scores[: len(scores) // size * 3 // 4 * size]
