"""A Prefect flow whose parameters may be larger than the Prefect API stores, and hold a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import orjson
from prefect import Flow
from pydantic import SecretStr

P = ParamSpec("P")
R = TypeVar("R")

HIDDEN = "**********"

STORED_BYTES = 50_000
"""A parameter that takes more than this as JSON is stored as a summary. Prefect refuses runs whose
parameters take 524,288 bytes together."""


class BatchFlow(Flow[P, R]):
    """A flow that stores a summary of large parameters, and never a key, with its runs.

    Only runs that are called directly or as subflows go through here: nobody reads their stored
    parameters back. A deployed run is started from what is stored, so its parameters stay whole.
    """

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what the Prefect API stores of a call's parameters."""
        stored = super().serialize_parameters(parameters)
        stored = _keys_replaced(stored, lambda key: HIDDEN if key else "")
        return {name: _summary(value) for name, value in stored.items()}

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Check and convert the parameters of a call; see `prefect.Flow`."""
        # Prefect logs all parameters when one of them is not valid.
        return super().validate_parameters(_keys_replaced(parameters, SecretStr))

    def with_options(self, **options: Any) -> BatchFlow[P, R]:
        """Return a copy with other options; see `prefect.Flow.with_options`."""
        copy = super().with_options(**options)
        # Prefect makes the copy as a plain Flow, which would store keys and large parameters.
        copy.__class__ = BatchFlow
        return copy  # type: ignore[return-value]


def batch_flow(
    **options: Any,
) -> Callable[[Callable[P, R]], BatchFlow[P, R]]:
    """Make a `BatchFlow` of a function, as `prefect.flow` makes a `Flow`."""
    return lambda function: BatchFlow(function, **options)


def _keys_replaced(parameters: dict[str, Any], replace: Callable[[str], Any]) -> dict[str, Any]:
    """Return the parameters with the keys in them replaced, those in a written-out block too."""
    copy = dict(parameters)
    if isinstance(key := copy.get("api_key"), str):
        copy["api_key"] = replace(key)
    block = copy.get("credentials")
    if isinstance(block, dict) and isinstance(key := block.get("api_key"), str):
        copy["credentials"] = {**block, "api_key": replace(key)}
    return copy


def _summary(value: Any) -> Any:
    size = len(orjson.dumps(value, default=str))
    if size <= STORED_BYTES:
        return value
    summary: dict[str, Any] = {"summary": f"{size:,} bytes as JSON, not stored"}
    if isinstance(value, list):
        summary |= {"items": len(value), "first": str(value[0])[:200], "last": str(value[-1])[:200]}
    return summary
