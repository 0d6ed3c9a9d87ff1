"""The Messages parameters that a batch accepts, typed as the SDK types them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

if TYPE_CHECKING:
    from anthropic.types import (
        CacheControlEphemeralParam,
        MessageCreateParamsContainerParam,
        MessageParam,
        MetadataParam,
        OutputConfigParam,
        TextBlockParam,
        ThinkingConfigParam,
        ToolChoiceParam,
        ToolUnionParam,
    )

    Messages: TypeAlias = Iterable[MessageParam]
    System: TypeAlias = str | Iterable[TextBlockParam]

    class MessageParams(TypedDict, total=False):
        """Any Messages parameter beside `model`, `max_tokens`, `messages` and `system`."""

        cache_control: CacheControlEphemeralParam | None
        container: MessageCreateParamsContainerParam | None
        inference_geo: str | None
        metadata: MetadataParam
        output_config: OutputConfigParam
        service_tier: str
        stop_sequences: Sequence[str]
        temperature: float
        thinking: ThinkingConfigParam
        tool_choice: ToolChoiceParam
        tools: Iterable[ToolUnionParam]
        top_k: int
        top_p: float
        user_profile_id: str

else:
    # At run time these are plain JSON, so that pydantic and Prefect can read the annotations
    # without importing the SDK, which costs more than the rest of the package.
    Messages: TypeAlias = Sequence[Mapping[str, Any]]
    System: TypeAlias = str | Sequence[Mapping[str, Any]]
    MessageParams: TypeAlias = Mapping[str, Any]

REFUSED_IN_A_BATCH = frozenset(
    {
        "cache_hint",
        "context_hint",
        "fallbacks",
        "previous_thread_event_id",
        "speed",
        "store",
        "stream",
    }
)
"""Messages parameters that the Message Batches API does not accept."""

OWN_FIELDS = frozenset({"max_tokens", "messages", "model", "system"})
"""Parameters that are fields of `BatchRequest`, and so may not stand in `params` as well."""
