"""Datasets whose prompts tell the emulator what to reply, and flows of users around evals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from prefect import flow
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
)
from prefect.client.schemas.objects import Artifact

from meshflow_prefect import ABReport, EvalReport, compare_prompts, evaluate
from tests.support.jobs import SOON
from tests.support.stack import Stack

JUDGE = "claude-opus-5"


def case(number: int, reply: str, expected: Any = "yes", **more: Any) -> dict[str, Any]:
    """Return a row whose prompt gets this reply."""
    prompt = f"Question {number}. [[reply: {reply}]]"
    return {"id": f"case-{number}", "prompt": prompt, "expected": expected, **more}


def cases(good: int, bad: int = 0) -> list[dict[str, Any]]:
    """Return rows of which the first get the expected reply, and the others do not."""
    return [case(n, "yes" if n < good else "no") for n in range(good + bad)]


def verdict(mark: int, reason: str = "So it is.") -> str:
    """Return what makes the emulator give a verdict, for a rubric."""
    return f"[[reply: {orjson.dumps({'reason': reason, 'mark': mark}).decode()}]]"


PREFERS_GOOD = (
    'Be good. [[reply when <first>\ngood: {"reason": "The first is.", "winner": "first"}]]'
    '[[reply when <second>\ngood: {"reason": "The second is.", "winner": "second"}]]'
    '[[reply: {"reason": "Neither is.", "winner": "tie"}]]'
)
"""A rubric by which the emulator's judge prefers `good`, and the first place where both are."""


def ab_rows(
    dice: random.Random, count: int, *, plainly: float, carefully: float
) -> list[dict[str, Any]]:
    """Return cases to which a prompt with `Plainly` in it, and one with `Carefully`, gets the reply
    `good` with these chances, and `poor` else: drawn once for each case and prompt."""

    def reply(words: str, chance: float) -> str:
        return f"[[reply when {words}: {'good' if dice.random() < chance else 'poor'}]]"

    return [
        {
            "id": f"case-{number}",
            "topic": f"Topic {number}",
            "prompt": f"{reply('Plainly', plainly)}{reply('Carefully', carefully)}",
            "expected": "good",
        }
        for number in range(count)
    ]


PROMPTS = {"plain": "Plainly: {topic} {prompt}", "careful": "Carefully: {topic} {prompt}"}


@flow
async def evaluated(dataset: Any, **options: Any) -> EvalReport:
    """An eval in a flow of a user's own."""
    return await evaluate(dataset, **{"poll_interval": SOON, **options})


@flow
async def prompts_compared(dataset: Any, **options: Any) -> ABReport:
    """An A/B test in a flow of a user's own."""
    variants = options.pop("variants", PROMPTS)
    return await compare_prompts(variants, dataset, **{"poll_interval": SOON, **options})


def pages_of(stack: Stack, run_id: object) -> Sequence[Artifact]:
    """Return the markdown artifacts of a run."""
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(str(run_id))]),
        type=ArtifactFilterType(any_=["markdown"]),
    )
    with stack.client as client:
        return client.read_artifacts(artifact_filter=wanted)
