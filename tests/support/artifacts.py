"""What runs show in the Prefect UI."""

from __future__ import annotations

from uuid import UUID

from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)

from tests.support.stack import Stack


def markdown_of(stack: Stack, run_id: UUID | str, key: str) -> str:
    """Return the one Markdown artifact of this key that a run has made."""
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(str(run_id))]),
        key=ArtifactFilterKey(any_=[key]),
    )
    with stack.client as client:
        (found,) = client.read_artifacts(artifact_filter=wanted)
    assert found.type == "markdown"
    return str(found.data)
