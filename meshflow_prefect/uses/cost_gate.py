"""A cost gate: a baseline set is run, and what it takes is compared with what it took before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Unpack
from uuid import uuid4

from prefect.runtime import flow_run

from meshflow_prefect.bulk.recipe import Recipe
from meshflow_prefect.errors import CostGateError, InvalidRequestError
from meshflow_prefect.filesystems import shown
from meshflow_prefect.flows import batch_requests
from meshflow_prefect.models import DEFAULT_MODEL, BatchResult
from meshflow_prefect.pricing import cost_of
from meshflow_prefect.structured import OutputType, OutputTypeLike
from meshflow_prefect.uses import stored
from meshflow_prefect.uses.artifacts import check_name, show
from meshflow_prefect.uses.baseline_set import BaselineSet
from meshflow_prefect.uses.cases import Dataset
from meshflow_prefect.uses.cost_comparison import CostComparison, compare
from meshflow_prefect.uses.cost_figures import (
    CaseCost,
    CostBaseline,
    CostFigures,
)
from meshflow_prefect.uses.cost_limits import Tolerances
from meshflow_prefect.uses.cost_page import page_of
from meshflow_prefect.uses.job_options import JobOptions
from meshflow_prefect.uses.logs import logger

_NAMED = 3
"""How many cases an error names."""


async def compare_cost(
    baseline_set: Dataset,
    *,
    baseline: str,
    name: str = "gate",
    update_baseline: bool = False,
    tolerance: float | None = 0.1,
    token_tolerance: float | None = 0.1,
    failure_tolerance: float | None = 0.0,
    prompt: str | None = None,
    system: str = "",
    model: str = DEFAULT_MODEL,
    max_tokens: int = 1024,
    params: Mapping[str, Any] | None = None,
    output_type: OutputTypeLike | None = None,
    **job: Unpack[JobOptions],
) -> CostComparison:
    """Run a baseline set, and compare its cost, tokens and failures with a stored baseline.

    For a call from a flow of your own, which waits and suspends as `batch_agent_tasks` does. The
    rows are what stays the same; the prompt, the system prompt and the parameters are what may
    have become dearer. A gate that fails is an error; retrying that run collects the same replies,
    costs nothing, and fails again. To measure anew, start a new run.

    Args:
        baseline_set: A path or URL of JSON lines, CSV or Parquet, or rows, such as a DataFrame's
            `.to_dict("records")`. `id` names a case where a row has it, else its number. All are
            held in memory.
        baseline: Where the baseline is: a path or URL of a `.json` file, which may be kept beside
            the code, or `variable:NAME` for a Prefect variable. A variable holds about a hundred
            cases; of more it keeps the sums alone.
        name: 1 to 60 of a-z, 0-9 and `-`: names the artifact (`cost-` and the name). Several gates
            of one run need different ones.
        update_baseline: Stores this run as the baseline, in place of any other, and does not fail.
        tolerance: How much more than the baseline the set may cost: 0.1 is 10 %. None: any sum, as
            where the price of a model is not known.
        token_tolerance: The same of the input tokens, and of the output tokens.
        failure_tolerance: Which share of the cases may fail in addition to those that failed in the
            baseline. A case that fails costs nothing, so it makes a run look cheap.
        prompt: A template such as `Summarise: {text}`, filled from the row's columns. Left out: the
            row's own `messages`, `params` or `prompt`, or Anthropic's own format.
        system: The system prompt, a template too.
        model: The model that answers.
        max_tokens: The most tokens that each reply may have.
        params: Other Messages parameters of every request.
        output_type: What each reply has to be; see `batch_agent_tasks`.
        **job: How the batches are run; see `JobOptions`. Here `cache_system` is off unless it is
            given: whether a batch meets the prompt cache is chance, and would be in the cost.

    Returns:
        The figures. An artifact of the run shows them in a table.

    Raises:
        CostGateError: a limit does not hold; `comparison` of the error has the figures.
        InvalidRequestError: there is no baseline yet; or it is of another model or of another set;
            or a parameter is wrong. Nothing was submitted.
        SourceError, BadRowsError, TemplateError, DestinationError: the set, a row of it (named with
            its file and line), or the place of the baseline is not usable; nothing was submitted.
        And what `batch_agent_tasks` raises.
    """
    check_name(name)
    allowed = Tolerances(cost=tolerance, tokens=token_tolerance, failures=failure_tolerance)
    recipe = Recipe(
        prompt=prompt, system=system, model=model, max_tokens=max_tokens, params=params or {}
    )
    form = None if output_type is None else OutputType.of(output_type).full_schema
    asked = await asyncio.to_thread(BaselineSet.read, baseline_set, recipe, form)
    before = await _baseline(baseline, asked, allowed, is_replaced=update_baseline)
    run_id = str(flow_run.root_flow_run_id or uuid4())
    requests = asked.requests(f"{job.get('job_key') or run_id}:{name}")
    options: JobOptions = {"cache_system": job.get("warm_cache", False), **job}
    results = await batch_requests(requests, output_type=output_type, **options)
    now = _measured(asked, results, run_id)
    found = compare(
        before,
        now,
        allowed,
        source=asked.cases.name,
        place=shown(baseline),
        updated=update_baseline,
    )
    if update_baseline:
        _check_worth_storing(now, shown(baseline))
    await show(f"cost-{name}", page_of(found), description="What the baseline set costs")
    if update_baseline:
        await _store(now, baseline)
    logger().info("%s.", found)
    found.raise_if_failed()
    return found


async def _baseline(
    place: str, asked: BaselineSet, allowed: Tolerances, *, is_replaced: bool
) -> CostBaseline | None:
    """Return the baseline to compare with, once it is certain that the run can be of use."""
    if allowed.cost is not None:
        for model in asked.models:
            if cost_of(model, {"input_tokens": 1}) is None:
                raise InvalidRequestError(
                    f"tolerance: the price of {model!r} is not known, so its cost cannot be "
                    "compared. Nothing was submitted. Say what it costs with `set_price` or "
                    "MESHFLOW_PRICES, or set tolerance to None to compare tokens and failures."
                )
    if is_replaced:
        await stored.check_place(place)
    held = await stored.load(place)
    place = shown(place)
    found = None if held is None else CostBaseline.of(held, place)
    if found is None and not is_replaced:
        raise InvalidRequestError(
            f"There is no baseline in {place!r} yet, so there is nothing to compare with. Nothing "
            "was submitted. Run it once with update_baseline (--update-baseline) to store one."
        )
    reason = "" if found is None else _unlike(found, asked, allowed)
    if reason and not is_replaced:
        raise InvalidRequestError(
            f"The baseline in {place!r} {reason}. Nothing was submitted. Name the baseline that "
            "belongs to it, or run it with update_baseline (--update-baseline) to replace this one."
        )
    return None if reason else found


def _unlike(found: CostBaseline, asked: BaselineSet, allowed: Tolerances) -> str:
    """Return why a run cannot be compared with a baseline, or nothing."""
    if found.models != asked.models:
        return f"is of {', '.join(found.models)}, and this run asks {', '.join(asked.models)}"
    if found.set_digest != asked.digest:
        return (
            f"is of another set: of {found.figures.cases:,} cases, and {asked.cases.name} has "
            f"{len(asked.cases.rows):,}{_difference(found, asked)}"
        )
    if found.figures.cost_usd is None and allowed.cost is not None:
        return "was stored without a cost, as the price of the model was not known"
    return ""


def _difference(found: CostBaseline, asked: BaselineSet) -> str:
    """Return which cases are in one of two sets only, as far as the baseline knows its own."""
    if not found.by_case:
        return " others" * (len(asked.cases.rows) == found.figures.cases)
    now = [case.id for case in asked.cases.rows]
    new = [name for name in now if name not in found.by_case]
    gone = found.by_case.keys() - now
    both = (("new", new), ("gone", sorted(gone)))
    told = [f"{word}: {_named(names)}" for word, names in both if names]
    return f" ({'; '.join(told) or 'the same ids, in another order or with other values'})"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more


def _measured(asked: BaselineSet, results: list[BatchResult], run_id: str) -> CostBaseline:
    pairs = zip(asked.cases.rows, results, strict=True)
    return CostBaseline(
        models=asked.models,
        set_digest=asked.digest,
        asked_digest=asked.asked_digest,
        figures=CostFigures.of(results),
        by_case={case.id: CaseCost.of(result) for case, result in pairs},
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=run_id,
    )


def _check_worth_storing(now: CostBaseline, place: str) -> None:
    if now.figures.failed == now.figures.cases:
        raise CostGateError(
            f"None of the {now.figures.cases:,} cases has a reply, which is no baseline: what is "
            f"in {place!r} stays as it is. The log of the batch names what went wrong."
        )


async def _store(now: CostBaseline, place: str) -> None:
    figures = now.figures
    value = now.to_dict()
    if not stored.fits(place, value):
        value = now.to_dict(by_case=False)
        logger().warning(
            "%r has no room for %s cases: it keeps the sums, and later runs will not tell which "
            "cases grew. A .json file has room for any number.",
            shown(place),
            f"{figures.cases:,}",
        )
    if figures.failed:
        logger().warning(
            "The new baseline has %s failed cases, which cost nothing: later runs without such "
            "failures will seem dear.",
            f"{figures.failed:,}",
        )
    await stored.save(place, value)
