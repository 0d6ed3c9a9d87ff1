"""The command that watches what a set costs, for CI: its exit code says whether the gate holds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated, Any
from uuid import uuid4

from cyclopts import Parameter

from meshflow_prefect.cli.app import app, fail, print_json, print_table
from meshflow_prefect.cli.jobs import (
    digest_of,
    interruptible,
    object_of,
    output_type_of,
)
from meshflow_prefect.cli.prefect_console import check_prefect, prepare_prefect
from meshflow_prefect.errors import CostGateError, InvalidRequestError, SourceError
from meshflow_prefect.filesystems import whole_path
from meshflow_prefect.models import DEFAULT_MODEL
from meshflow_prefect.sources import Source
from meshflow_prefect.uses.cost_comparison import CostComparison

_GATE, _ERROR = 1, 2
"""Exit codes: the gate has failed; it could not be tried."""


@app.command
def cost_gate(
    source: str,
    *,
    baseline: Annotated[str, Parameter(alias="-b")],
    update_baseline: bool = False,
    tolerance: str = "10%",
    token_tolerance: str = "10%",  # noqa: S107  (a share of tokens, not one of ours)
    failure_tolerance: str = "0%",
    prompt: Annotated[str | None, Parameter(alias="-p")] = None,
    system: str = "",
    model: Annotated[str, Parameter(alias="-m")] = DEFAULT_MODEL,
    max_tokens: int = 1024,
    params: str = "{}",
    output_type: str | None = None,
    cache_system: bool = False,
    warm_cache: bool = False,
    max_attempts: int = 2,
    timeout: float | None = None,
    poll_interval: float = 30.0,
    credentials: str | None = None,
    job_key: str | None = None,
) -> None:
    """Run a baseline set, and compare what it costs with what it has cost before.

    Exit code 0: the gate has passed, or the baseline is stored. 1: it takes more than it may. 2:
    it could not be tried. Started again after it was killed, the same command goes on, and nothing
    is paid twice; after it has ended, it measures anew. Prints a table, and the figures as JSON.

    Parameters
    ----------
    source
        The set: a file, a glob or a folder of .jsonl, .csv or .parquet files; a path or any fsspec
        URL. `id` names a row, else its number.
    baseline
        A .json file, kept beside the code say, a URL of one, or variable:NAME for a Prefect
        variable.
    update_baseline
        Store this run as the baseline.
    tolerance
        How much more it may cost, such as 10% or 0.1; none: any sum.
    token_tolerance
        The same of input tokens, and of output tokens.
    failure_tolerance
        Which share of the rows may fail in addition to those that failed in the baseline.
    prompt
        A template, such as "Summarise: {text}". Left out: the rows' own messages, params, prompt.
    system
        The system prompt; a template too.
    model
        The model that answers.
    max_tokens
        The most tokens that each reply may have.
    params
        Other Messages parameters, as a JSON object.
    output_type
        What each reply has to be: the JSON Schema in a .json file, or package.module:Name of a
        Pydantic model.
    cache_system
        Send a long system prompt with the 1-hour cache. In a batch it is chance what that saves.
    warm_cache
        Send the first row in a batch of its own, so that all others read the cache.
    max_attempts
        In how many batches a row may be sent.
    timeout
        Seconds that a batch may take; then the command ends with 2, and the next one collects it.
    poll_interval
        Seconds between two checks.
    credentials
        The name of an AnthropicCredentials block. Left out: the environment's key.
    job_key
        Names the job, such as a commit: another command with it collects the same replies. Left
        out: one that lasts until the command has ended.
    """
    given = dict(locals())
    prepare_prefect()
    shares = ("tolerance", "token_tolerance", "failure_tolerance")
    options = {name: given[name] for name in given if name not in ("source", "job_key")}
    options["cache_system"] = cache_system or warm_cache

    async def work() -> CostComparison:
        options.update({name: _share(name, given[name]) for name in shares})
        options["params"] = object_of("--params", params)
        options["output_type"] = output_type_of(output_type)
        await check_prefect()
        return await _measured(source, options, job_key)

    found: CostComparison = interruptible(work(), code=_ERROR)
    _show(found)
    print_json(found.to_dict())
    try:
        found.raise_if_failed()
    except CostGateError as error:
        fail(error, code=_GATE)


async def _measured(source: str, options: dict[str, Any], job_key: str | None) -> CostComparison:
    """Run the gate as a flow, and return its figures, whether it has passed or not."""
    from prefect import flow

    from meshflow_prefect.uses.cost_gate import compare_cost

    @flow(name="cost-gate")
    async def gate(source: str, options: dict[str, Any]) -> CostComparison:
        return await compare_cost(source, **options)

    place = await asyncio.to_thread(_unfinished, source, options)
    async with nullcontext(job_key) if job_key else _until_it_ends(place) as key:
        try:
            found: CostComparison = await gate(source, {**options, "job_key": key})
        except CostGateError as error:
            # Of a run without any reply there are no figures.
            if error.details.get("comparison") is None:
                raise
            found = error.comparison
    return found


@asynccontextmanager
async def _until_it_ends(place: str) -> AsyncIterator[str]:
    """Yield a job key that stays the same, however often the command is stopped, until it ends."""
    from meshflow_prefect.uses.stored import forget, load, save

    held = await load(place)
    if held is not None:
        print("An earlier command was stopped: going on where it was.", file=sys.stderr)
    key = str(held or f"meshflow-prefect cost-gate {uuid4()}")
    await save(place, key)
    try:
        yield key
    except (CostGateError, InvalidRequestError, SourceError) as error:
        # Of a command that is wrong nothing was sent, unless an earlier one had.
        if held is None or isinstance(error, CostGateError):
            await forget(place)
        raise
    await forget(place)


def _unfinished(source: str, options: dict[str, Any]) -> str:
    """Return where it is kept that this command has begun, and has not ended."""
    asked = {name: value for name, value in options.items() if name not in _HOW}
    asked["baseline"] = whole_path(options["baseline"])
    asked["output_type"] = repr(options["output_type"])
    # By what is in it: CI has a new copy of each file, with another time, whenever it starts.
    rows = [row.values for row in Source.open(source).rows()]
    return f"variable:meshflow_unfinished_{digest_of([source, rows, asked])}"


_HOW = frozenset(
    {
        "credentials",
        "failure_tolerance",
        "poll_interval",
        "timeout",
        "token_tolerance",
        "tolerance",
    }
)
"""The options that do not decide what is submitted, or stored."""


def _share(option: str, text: str) -> float | None:
    """Return the share that a text says: `10%`, `0.1`, or `none` for any."""
    if text.lower() == "none":
        return None
    number = text.removesuffix("%")
    try:
        # 10 % is 0.1 exactly as far as a float can be: divided, not multiplied by 0.01.
        return float(number) / 100 if number != text else float(number)
    except ValueError:
        raise InvalidRequestError(
            f"--{option.replace('_', '-')}: expected a share such as 10% or 0.1, or none, got "
            f"{text!r}."
        ) from None


def _show(found: CostComparison) -> None:
    from rich.table import Table
    from rich.text import Text

    from meshflow_prefect.uses.cost_page import GROWN_HEAD, figures, grown, verdict

    models = ", ".join(found.models)
    for title, head, rows in (
        (f"{found.figures.cases:,} cases of {found.source} by {models}", *figures(found)),
        ("Grew most", GROWN_HEAD, grown(found)),
    ):
        if rows:
            print(title, file=sys.stderr)
            table = Table()
            for number, name in enumerate(head):
                table.add_column(name, justify="right" if number else "left")
            for row in rows:
                # As they are: an id with brackets in it is no markup.
                table.add_row(*map(Text, row))
            print_table(table, to_stderr=True)
    print(f"Cost gate: {verdict(found)}", file=sys.stderr)
