"""The report of a use case, on the page of its run in the Prefect UI."""

from __future__ import annotations

import re

from meshflow_prefect.errors import InvalidRequestError

_NAME = re.compile(r"[a-z0-9-]{1,60}")


def check_name(name: str) -> None:
    """Raise `InvalidRequestError` for what no artifact can be called."""
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(f"name: expected 1 to 60 of a-z, 0-9 and '-', got {name!r}.")


async def show(key: str, markdown: str, *, description: str) -> None:
    """Make a markdown artifact of the current flow run, or bring the one of this key up to date.

    Outside of a flow run nothing is shown. Twice is fine: a run that is retried has one artifact.
    """
    from prefect import get_client
    from prefect.artifacts import acreate_markdown_artifact
    from prefect.client.schemas.actions import ArtifactUpdate
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterKey,
    )
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    mine = ArtifactFilter(
        key=ArtifactFilterKey(any_=[key]),
        flow_run_id=ArtifactFilterFlowRunId(any_=[context.flow_run.id]),
    )
    async with get_client() as prefect:
        if found := await prefect.read_artifacts(artifact_filter=mine):
            changed = ArtifactUpdate(data=markdown, description=description)
            await prefect.update_artifact(found[0].id, changed)
            return
    await acreate_markdown_artifact(markdown, key=key, description=description)
