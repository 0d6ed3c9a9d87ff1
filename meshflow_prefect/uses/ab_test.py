"""An A/B test: several prompts, models or systems × the same cases, in one job, and a verdict."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Unpack, get_args
from uuid import uuid4

from prefect.runtime import flow_run

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.grading import Grade, Grader
from meshflow_prefect.models import DEFAULT_MODEL, BatchRequest, BatchResult
from meshflow_prefect.significance import check_installed, mean_interval
from meshflow_prefect.templates import Template
from meshflow_prefect.uses.ab_comparison import (
    Duel,
    Pairs,
    compared,
    confidence_of_each,
    pairs_of,
    preferred_by_grades,
)
from meshflow_prefect.uses.ab_judging import judged, question_of
from meshflow_prefect.uses.ab_page import page_of
from meshflow_prefect.uses.ab_report import ABReport, CasePreference, VariantOutcome
from meshflow_prefect.uses.artifacts import check_name, show
from meshflow_prefect.uses.cases import Case, Cases, Dataset, read_cases
from meshflow_prefect.uses.job_options import JobOptions
from meshflow_prefect.uses.judges import (
    GraderLike,
    Judge,
    check_gradable,
    graded_reply,
    judge_or_grader,
    name_of,
)
from meshflow_prefect.uses.logs import logger
from meshflow_prefect.uses.markdown import escaped
from meshflow_prefect.uses.replies import replies_to
from meshflow_prefect.uses.spending import Spending
from meshflow_prefect.uses.variants import Variant, VariantLike, variant_of

_VARIANT_NAME = re.compile(r"[a-zA-Z0-9_-]{1,32}")


async def compare_prompts(
    variants: Mapping[str, VariantLike],
    dataset: Dataset,
    *,
    name: str = "prompts",
    model: str = DEFAULT_MODEL,
    max_tokens: int = 1024,
    grader: GraderLike = "exact",
    rubric: str = "",
    judge_model: str = "",
    question: str = "",
    pairs: Pairs = "first",
    **job: Unpack[JobOptions],
) -> ABReport:
    """Ask the same cases in two or more ways, and say which is better, if that can be said.

    For a call from a flow of your own, which waits and suspends as `batch_agent_tasks` does. All
    variants are one job; a judge's verdicts are a second one. All cases are held in memory. After a
    retry or a killed process nothing is submitted again, and the run has one artifact.

    A comparison is an exact sign test over the cases in which the two differ; see
    `significance.compare_paired`. Several comparisons are corrected by Bonferroni: where there is
    no difference at all, at most 5 % of tests find one.

    Args:
        variants: By their names (1 to 32 letters, digits, `_` and `-`), at least two: a `Variant`,
            the template of a prompt, or a mapping of `prompt`, `system`, `model`, `max_tokens` and
            `params`.
        dataset: A path or URL of JSON lines, CSV or Parquet, or rows, with the columns of all
            variants; see `evaluate`.
        name: 1 to 60 of a-z, 0-9 and `-`: names the test, and its artifact (`ab-` and the name).
        model: The model of the variants that do not name one.
        max_tokens: The most tokens of a reply, of the variants that do not say.
        grader: `exact`, `regex`, `json`, a grader of your own, or `judge`: a model that sees both
            replies to a case, in both orders, and says which is better by a rubric.
        rubric: What the judge goes by, for rows without a `rubric`.
        judge_model: The model that judges.
        question: A template of what the judge is told to have been asked. Left out: the columns
            that the variants use, and not their prompts, which are what is compared.
        pairs: Which variants are compared: each with the `first`, or `all` with each other.
        **job: How the batches are run; see `JobOptions`.

    Returns:
        The report. A case is left out of a comparison where one of the two has no reply, or the
        judge gave no verdict; replies that are the same are a tie, for which no judge is asked.

    Raises:
        SourceError, BadRowsError, TemplateError, InvalidRequestError: a variant, the dataset, a row
            of it (named with its file and line) or a parameter is not usable; nothing was
            submitted.
        ContentChangedError: the dataset is not what it was when this run submitted it.
        And what `batch_agent_tasks` raises.
    """
    await asyncio.to_thread(check_installed)
    check_name(name)
    by = judge_or_grader(grader, rubric=rubric, judge_model=judge_model)
    asked = _variants(variants, model=model, max_tokens=max_tokens)
    if pairs not in get_args(Pairs):
        raise InvalidRequestError(f"pairs: expected 'first' or 'all', got {pairs!r}.")
    told = question_of(question, asked, by)
    cases = await asyncio.to_thread(_cases, dataset, asked, by, told)
    run = job.get("job_key") or str(flow_run.root_flow_run_id or uuid4())
    ids = cases.ids(f"{run}:{name}")
    replies = await _replies(cases, ids, asked, job)
    duels = [
        Duel(a=a, b=b, replies_a=replies[a], replies_b=replies[b])
        for a, b in pairs_of(list(asked), pairs)
    ]
    grades: dict[str, list[Grade]] = {}
    verdicts: list[BatchResult] = []
    if isinstance(by, Judge):
        preferences, verdicts = await judged(duels, cases, ids, by, told, job)
    else:
        grades = await asyncio.to_thread(_grades, replies, cases, by)
        preferences = [_by_grades(cases, grades[duel.a], grades[duel.b]) for duel in duels]
    confidence = confidence_of_each(len(duels))
    report = ABReport(
        name=name,
        dataset=cases.name,
        grader=name_of(by, grader),
        cases=len(cases.rows),
        variants=tuple(
            _outcome(each, variant, replies[each], grades.get(each))
            for each, variant in asked.items()
        ),
        pairs=tuple(
            compared(duel, found, confidence=confidence)
            for duel, found in zip(duels, preferences, strict=True)
        ),
        judged=Spending.of(verdicts),
    )
    logger().info("%s.", report)
    await show(f"ab-{name}", page_of(report), description=escaped(f"An A/B test on {cases.name}"))
    return report


def _variants(given: Mapping[str, VariantLike], **defaults: Any) -> dict[str, Variant]:
    if not isinstance(given, Mapping) or len(given) < 2:
        raise InvalidRequestError("variants: expected a mapping of names to at least two variants.")
    found: dict[str, Variant] = {}
    for name, each in given.items():
        if not isinstance(name, str) or not _VARIANT_NAME.fullmatch(name):
            raise InvalidRequestError(
                f"variants: the name {name!r} must be 1 to 32 letters, digits, '_' and '-'."
            )
        try:
            found[name] = variant_of(each, **defaults)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"variants[{name!r}]: {error.message}") from None
    return found


def _cases(
    dataset: Dataset, asked: Mapping[str, Variant], by: Judge | Grader, told: Template
) -> Cases:
    def check(case: Case) -> None:
        for each in asked.values():
            each.request("any", case.values)
        told.render(case.values)
        check_gradable(case, by)

    columns = [column for each in asked.values() for column in each.columns]
    wanted = [*columns, *(told.columns if isinstance(by, Judge) else ("expected",))]
    return read_cases(dataset, columns=list(dict.fromkeys(wanted)), check=check)


async def _replies(
    cases: Cases, ids: Sequence[str], asked: Mapping[str, Variant], job: JobOptions
) -> dict[str, list[BatchResult]]:
    """Return the replies of each variant, in the order of the cases, all of one job."""

    def asking() -> list[BatchRequest]:
        # Case by case: where it takes several batches, each has all variants of its cases.
        return [
            variant.request(f"{custom_id}-{name}", case.values)
            for custom_id, case in zip(ids, cases.rows, strict=True)
            for name, variant in asked.items()
        ]

    # In a thread: of many cases it takes seconds.
    results = await replies_to(await asyncio.to_thread(asking), job)
    return {name: results[place :: len(asked)] for place, name in enumerate(asked)}


def _grades(
    replies: Mapping[str, Sequence[BatchResult]], cases: Cases, by: Grader
) -> dict[str, list[Grade]]:
    return {
        name: [graded_reply(reply, by, case) for reply, case in zip(given, cases.rows, strict=True)]
        for name, given in replies.items()
    }


def _by_grades(cases: Cases, a: Sequence[Grade], b: Sequence[Grade]) -> list[CasePreference]:
    graded = zip(cases.rows, a, b, strict=True)
    return [preferred_by_grades(case.id, one, other) for case, one, other in graded]


def _outcome(
    name: str, variant: Variant, replies: Sequence[BatchResult], grades: Sequence[Grade] | None
) -> VariantOutcome:
    outcome = VariantOutcome(
        name=name,
        model=variant.model,
        statuses=dict(Counter(reply.status for reply in replies)),
        refused=sum(reply.refused for reply in replies),
        spent=Spending.of(replies),
    )
    if grades is None:
        return outcome
    scores = [each.score for each in grades if not each.problem]
    return replace(
        outcome,
        score=fmean(scores) if scores else None,
        interval=mean_interval(scores) if scores else None,
        passed_cases=sum(each.passed for each in grades),
    )
