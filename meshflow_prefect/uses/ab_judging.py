"""Which of two replies a judge prefers, who sees both in both orders: a batch for all pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.grading import Grader
from meshflow_prefect.judging import PairVerdict, preference_of
from meshflow_prefect.models import BatchResult
from meshflow_prefect.templates import Template
from meshflow_prefect.uses.ab_comparison import Duel, preference
from meshflow_prefect.uses.ab_report import CasePreference
from meshflow_prefect.uses.cases import Cases
from meshflow_prefect.uses.job_options import JobOptions
from meshflow_prefect.uses.judges import Judge, answer_in, without_reply
from meshflow_prefect.uses.replies import verdicts_of
from meshflow_prefect.uses.variants import Variant

_ORDERS = 2


def question_of(given: str, asked: Mapping[str, Variant], by: Judge | Grader) -> Template:
    """Return the template of what a judge is told to have been asked.

    That is what was `given`, or the columns that the variants use, without their prompts. Raises
    `InvalidRequestError` for a template that is wrong, or that nobody would read.
    """
    if given:
        if not isinstance(by, Judge):
            raise InvalidRequestError("question: only grader='judge' reads it.")
        return Template(given)
    columns = list(dict.fromkeys(column for each in asked.values() for column in each.columns))
    if len(columns) == 1:
        return Template(f"{{{columns[0]}}}")
    return Template("\n".join(f"{column}: {{{column}}}" for column in columns))


async def judged(
    duels: Sequence[Duel],
    cases: Cases,
    ids: Sequence[str],
    judge: Judge,
    question: Template,
    job: JobOptions,
) -> tuple[list[list[CasePreference]], list[BatchResult]]:
    """Return what the judge prefers in each duel, case by case, and all replies of the judge."""
    requests = [
        request
        for number, duel in enumerate(duels)
        for place in _open(duel)
        for request in judge.pair(
            f"{ids[place]}-p{number}",
            cases.rows[place],
            question.render(cases.rows[place].values),
            duel.replies_a[place],
            duel.replies_b[place],
        )
    ]
    verdicts = await verdicts_of(requests, PairVerdict, job)
    left = iter(verdicts)
    return [_preferences(duel, cases, left) for duel in duels], verdicts


def _open(duel: Duel) -> Iterator[int]:
    """Yield the places of the cases that need a judge: with two replies that are not the same."""
    for place, (a, b) in enumerate(zip(duel.replies_a, duel.replies_b, strict=True)):
        if a.succeeded and b.succeeded and answer_in(a) != answer_in(b):
            yield place


def _preferences(duel: Duel, cases: Cases, verdicts: Iterator[BatchResult]) -> list[CasePreference]:
    """Return a preference for each case; takes the verdicts on those that needed a judge."""
    asked = set(_open(duel))
    found: list[CasePreference] = []
    for place, case in enumerate(cases.rows):
        if place in asked:
            given = preference_of([next(verdicts) for _ in range(_ORDERS)])
            found.append(preference(case.id, given.score, given.problem or given.reason))
            continue
        lacking = [each for each in duel.at(place) if not each.succeeded]
        reason = without_reply(lacking[0]).problem if lacking else "the replies are the same"
        found.append(preference(case.id, None if lacking else 0.5, reason))
    return found
