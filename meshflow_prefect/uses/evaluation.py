"""An eval: a dataset × a model → grades, a score with an interval, and how it compares."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, Unpack
from uuid import uuid4

from prefect.runtime import flow_run

from meshflow_prefect.errors import InvalidRequestError
from meshflow_prefect.grading import Grade, Grader
from meshflow_prefect.judging import PASS_MARK
from meshflow_prefect.models import DEFAULT_MODEL, BatchRequest
from meshflow_prefect.significance import check_installed, mean_interval, pass_rate_interval
from meshflow_prefect.uses import stored
from meshflow_prefect.uses.artifacts import check_name, show
from meshflow_prefect.uses.cases import Case, Cases, Dataset, read_cases
from meshflow_prefect.uses.eval_grading import Answered, graded
from meshflow_prefect.uses.eval_history import EvalHistory, EvalRun, compare_runs, packed, trend
from meshflow_prefect.uses.eval_page import page_of
from meshflow_prefect.uses.eval_report import CaseGrade, EvalReport
from meshflow_prefect.uses.job_options import JobOptions
from meshflow_prefect.uses.judges import (
    GraderLike,
    Judge,
    check_gradable,
    judge_or_grader,
    name_of,
)
from meshflow_prefect.uses.logs import logger
from meshflow_prefect.uses.markdown import escaped
from meshflow_prefect.uses.replies import replies_to
from meshflow_prefect.uses.spending import Spending
from meshflow_prefect.uses.variants import Variant

_LONGEST_REASON = 300


async def evaluate(
    dataset: Dataset,
    *,
    name: str = "eval",
    model: str = DEFAULT_MODEL,
    prompt: str = "{prompt}",
    system: str = "",
    max_tokens: int = 1024,
    params: Mapping[str, Any] | None = None,
    grader: GraderLike = "exact",
    rubric: str = "",
    judge_model: str = "",
    pass_mark: int = PASS_MARK,
    threshold: float | None = None,
    history: str | None = None,
    keep: int = 30,
    **job: Unpack[JobOptions],
) -> EvalReport:
    """Ask a model every prompt of a dataset, grade the replies, and compare with the last runs.

    For a call from a flow of your own, which waits and suspends as `batch_agent_tasks` does. The
    replies are one job; a judge's verdicts are a second one. All cases are held in memory.

    What comes after the wait (grades, history, artifact) may run again, after a retry or a killed
    process: nothing is submitted again, and the run has one entry in the history and one artifact.

    Args:
        dataset: A path or URL of JSON lines, CSV or Parquet, or rows. A row has the columns of
            `prompt`, `expected` for a grader (a text, a regular expression, a JSON value), and
            may have `id`, by which cases are known from run to run, else the row's number. For a
            judge `rubric` and `expected` may be there. Read again at every wake: a dataset that
            changes during the wait is an error.
        name: 1 to 60 of a-z, 0-9 and `-`: names the eval in its history, and the artifact
            (`eval-` and the name). Several evals of one root flow run need different ones.
        model: The model that answers.
        prompt: A template, filled from the columns of each row.
        system: The system prompt, a template too.
        max_tokens: The most tokens that each reply may have.
        params: Other Messages parameters of every request.
        grader: `exact`, `regex`, `json` (see `grading`), a grader of your own, or `judge`: a model
            that gives each reply a mark by a rubric.
        rubric: What the judge goes by, for rows without a `rubric`.
        judge_model: The model that judges.
        pass_mark: The lowest of the judge's marks, 1 to 5, that passes.
        threshold: The lowest score that passes, from 0.0 to 1.0. A lower one is for
            `EvalReport.raise_below_threshold` to raise; here it is only told.
        history: Where the last runs are kept: a path or URL of a `.json` file, or `variable:NAME`
            for a Prefect variable, which holds fewer of them. None: nowhere. Of two runs that end
            at once the later one is kept.
        keep: The most runs that the history keeps.
        **job: How the batches are run; see `JobOptions`. A row that met a passing error, and a
            judge that gave no verdict, are tried once more (`max_attempts`).

    Returns:
        The report. A case without a reply, or without a verdict that can be read, counts as failed.

    Raises:
        SourceError, BadRowsError, TemplateError, InvalidRequestError, DestinationError: the
            dataset, a row of it (named with its file and line), a parameter or the history is not
            usable; nothing was submitted.
        ContentChangedError: the dataset is not what it was when this run submitted it.
        And what `batch_agent_tasks` raises.
    """
    await asyncio.to_thread(check_installed)
    by = judge_or_grader(grader, rubric=rubric, judge_model=judge_model)
    _check(name, threshold=threshold, pass_mark=pass_mark, keep=keep)
    asked = Variant(
        prompt=prompt, system=system, model=model, max_tokens=max_tokens, params=params or {}
    )
    cases = await asyncio.to_thread(_cases, dataset, asked, by)
    if history is not None:
        await stored.check_place(history)
        EvalHistory.of(await stored.load(history), history)
    run_id = str(flow_run.root_flow_run_id or uuid4())
    answers = await _answered(cases, asked, f"{job.get('job_key') or run_id}:{name}", job)
    grades, verdicts = await graded(answers, by, asked=asked, pass_mark=pass_mark, job=job)
    scores = [each.score for each in grades]
    report = EvalReport(
        name=name,
        dataset=cases.name,
        model=model,
        grader=name_of(by, grader),
        score=fmean(scores),
        interval=mean_interval(scores),
        pass_interval=pass_rate_interval(sum(each.passed for each in grades), len(grades)),
        threshold=threshold,
        statuses=dict(Counter(each.reply.status for each in answers)),
        refused=sum(each.reply.refused for each in answers),
        grades=tuple(map(_case_grade, cases.rows, grades)),
        evaluated=Spending.of(each.reply for each in answers),
        judged=Spending.of(verdicts),
    )
    if history is not None:
        report = await _remembered(report, history, run_id, keep)
    logger().info("%s.", report)
    await show(
        f"eval-{name}", page_of(report), description=escaped(f"An eval of {model} on {cases.name}")
    )
    return report


def _check(name: str, *, threshold: float | None, pass_mark: int, keep: int) -> None:
    check_name(name)
    is_number = isinstance(threshold, int | float)
    if threshold is not None and not (is_number and 0.0 <= threshold <= 1.0):
        raise InvalidRequestError(f"threshold: expected 0.0 to 1.0, got {threshold!r}.")
    if pass_mark not in range(1, 6):
        raise InvalidRequestError(f"pass_mark: expected 1 to 5, got {pass_mark!r}.")
    if keep < 1:
        raise InvalidRequestError(f"keep: expected at least 1, got {keep!r}.")


def _cases(dataset: Dataset, asked: Variant, by: Judge | Grader) -> Cases:
    def check(case: Case) -> None:
        asked.request("any", case.values)
        check_gradable(case, by)

    wanted = asked.columns if isinstance(by, Judge) else (*asked.columns, "expected")
    return read_cases(dataset, columns=wanted, check=check)


async def _answered(
    cases: Cases, asked: Variant, job_name: str, job: JobOptions
) -> Sequence[Answered]:
    """Return the cases with what became of their requests."""

    def asking() -> list[BatchRequest]:
        named = zip(cases.ids(job_name), cases.rows, strict=True)
        return [asked.request(custom_id, case.values) for custom_id, case in named]

    # In a thread: of many cases it takes seconds.
    replies = await replies_to(await asyncio.to_thread(asking), job)
    return [
        Answered(custom_id=reply.custom_id, case=case, reply=reply)
        for case, reply in zip(cases.rows, replies, strict=True)
    ]


def _case_grade(case: Case, grade: Grade) -> CaseGrade:
    reason = grade.reason
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[:_LONGEST_REASON]}…"
    return CaseGrade(
        id=case.id,
        score=grade.score,
        passed=grade.passed,
        reason=reason,
        is_graded=not grade.problem,
    )


async def _remembered(report: EvalReport, place: str, run_id: str, keep: int) -> EvalReport:
    """Put a run into the history, and return the report with what that says of it.

    The history is read here, after the wait: other runs have ended meanwhile.
    """
    history = EvalHistory.of(await stored.load(place), place)
    earlier = history.find(run_id, report.name)
    run = EvalRun(
        run_id=run_id,
        name=report.name,
        at=datetime.now(UTC).isoformat(timespec="seconds") if earlier is None else earlier.at,
        model=report.model,
        grader=report.grader,
        score=round(report.score, 6),
        low=round(report.interval.low, 6),
        high=round(report.interval.high, 6),
        cases=report.cases,
        passed_cases=report.passed_cases,
        ungraded=report.ungraded,
        cost_usd=report.spent.cost_usd,
        passed=report.passed,
        scores=packed({each.id: each.score for each in report.grades if each.is_graded}),
    )
    last = history.last(run)
    changed = history.with_run(run, keep=keep)
    fitted = changed.fitted(lambda value: stored.fits(place, value))
    await stored.save(place, fitted.to_dict())
    return replace(
        report,
        comparison=None if last is None else compare_runs(last, run),
        trend=trend([*history.before(run_id, report.name), run][-keep:]),
    )
