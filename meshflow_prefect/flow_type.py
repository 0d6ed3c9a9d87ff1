"""A Prefect flow whose parameters may be large and hold a key, and whose results are its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import orjson
from prefect import Flow, State, get_client
from prefect.logging import get_run_logger
from prefect.states import Completed
from pydantic import SecretStr

from meshflow_prefect.ledgers import batches_of_flow
from meshflow_prefect.lineage import works_for_another
from meshflow_prefect.lost_results import collecting_only, may_be_unreadable
from meshflow_prefect.masking import holds_key, without_key
from meshflow_prefect.replayed import Belongs, calling, refusal

P = ParamSpec("P")
R = TypeVar("R")

HIDDEN = "**********"

STORED_BYTES = 50_000
"""A parameter that takes more than this as JSON is stored as a summary. Prefect refuses runs whose
parameters take 524,288 bytes together."""

_SCALARS = {str, int, float, bool, type(None)}


class BatchFlow(Flow[P, R]):
    """A flow that stores a summary of large parameters, and never a key, with its runs.

    Only runs that are called directly or as subflows go through here: nobody reads their stored
    parameters back. A deployed run is started from what is stored, so its parameters stay whole.
    They raise `ContentChangedError` rather than return the results of another call.
    """

    belongs: Belongs
    """Tells the results of a call from those of others."""

    # What the type checkers see is Prefect's own, with all its overloads.
    if not TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Run the flow; see `prefect.Flow`."""
            works_for_another()  # to be noted: within the flow its own context hides the caller's
            # Prefect goes through all parameters before the flow does.
            args = tuple(map(_kept, args))
            kwargs = {name: _kept(value) for name, value in kwargs.items()}
            outcome = super().__call__(*args, **kwargs)
            if not inspect.isawaitable(outcome):
                return outcome
            given = {k: v for k, v in kwargs.items() if k not in ("return_state", "wait_for")}
            return self._own(outcome, args, given)

    async def _own(
        self, outcome: Awaitable[Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> Any:
        """Return the outcome of a call, unless it is that of another one.

        One that was stored by an earlier process, and cannot be read, is collected anew.
        """
        found = None
        with calling() as call:
            try:
                found = await outcome
                if call.was_executed or (isinstance(found, State) and not found.is_completed()):
                    return found
                result = await found.aresult() if isinstance(found, State) else found
            except Exception as error:
                if call.was_executed or not may_be_unreadable(error):
                    raise
                result = await self._collected_anew(error, args, given)
                return Completed(data=result) if isinstance(found, State) else result
        # In a thread: it may take as long as preparing the requests did.
        if await asyncio.to_thread(self.belongs, result, self._asked(args, given)):
            return found
        async with get_client() as prefect:
            raise refusal(self.name, await batches_of_flow(prefect))

    async def _collected_anew(
        self, error: Exception, args: tuple[Any, ...], given: dict[str, Any]
    ) -> Any:
        """Return the result of a call that has ended before, from the batches it has paid for."""
        get_run_logger().warning(
            "What this call of %r returned before the run was started again cannot be read (%s). "
            "Its batches are collected anew; nothing is submitted.",
            self.name,
            error,
        )
        # In the flow around it: a further call of this flow would be taken for the next one.
        function = cast("Callable[..., Awaitable[Any]]", self.fn)
        with collecting_only():
            return await function(**self.validate_parameters(self._asked(args, given)))

    def _asked(self, args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
        asked = inspect.signature(self.fn).bind(*args, **given)
        asked.apply_defaults()
        return asked.arguments

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what the Prefect API stores of a call's parameters."""
        given = {n: str(v) if isinstance(v, SecretStr) else v for n, v in parameters.items()}
        # What Prefect does with the others loads a web framework, and keeps the event loop waiting.
        others = {name: value for name, value in given.items() if not _is_json(value)}
        stored = given | (super().serialize_parameters(others) if others else {})
        stored = _keys_replaced(stored, lambda key: HIDDEN if key else "")
        if isinstance(name := stored.get("credentials"), str) and holds_key(name):
            stored["credentials"] = HIDDEN  # a key in the place of a block's name
        return {name: _stored(value) for name, value in stored.items()}

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Check and convert the parameters of a call; see `prefect.Flow`."""
        # Prefect logs all parameters when one of them is not valid.
        return super().validate_parameters(_keys_replaced(parameters, SecretStr))

    def with_options(self, **options: Any) -> BatchFlow[P, R]:
        """Return a copy with other options; see `prefect.Flow.with_options`."""
        copy = super().with_options(**options)
        # Prefect makes the copy as a plain Flow, which would store keys and large parameters.
        copy.__class__ = BatchFlow
        copy.belongs = self.belongs  # type: ignore[attr-defined]
        return copy  # type: ignore[return-value]


def batch_flow(belongs: Belongs, **options: Any) -> Callable[[Callable[P, R]], BatchFlow[P, R]]:
    """Make a `BatchFlow` of a function, as `prefect.flow` makes a `Flow`.

    The function begins with `note_execution`.
    """

    def make(function: Callable[P, R]) -> BatchFlow[P, R]:
        made = BatchFlow(function, **options)
        made.belongs = belongs
        return made

    return make


def _kept(value: Any) -> Any:
    return list(value) if isinstance(value, Generator | map | filter | zip) else value


def _is_json(value: Any) -> bool:
    """Whether a value is JSON as it is."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str for key in value) and _is_json(list(value.values()))
    try:
        return kind in _SCALARS or (kind is list and all(map(_is_json, value)))
    except RecursionError:
        return False


def _keys_replaced(parameters: dict[str, Any], replace: Callable[[str], Any]) -> dict[str, Any]:
    """Return the parameters with the keys in them replaced, those in a written-out block too."""
    copy = dict(parameters)
    if isinstance(key := copy.get("api_key"), str):
        copy["api_key"] = replace(key)
    block = copy.get("credentials")
    if isinstance(block, dict) and isinstance(key := block.get("api_key"), str):
        copy["credentials"] = {**block, "api_key": replace(key)}
    return copy


def _stored(value: Any) -> Any:
    """Return what is stored of a JSON value: a summary of a large one, and no key within it."""
    whole = orjson.dumps(value, default=str)
    if len(whole) > STORED_BYTES:
        value = _summary(value, len(whole))
        whole = orjson.dumps(value)
    return orjson.loads(without_key(text)) if holds_key(text := whole.decode()) else value


def _summary(value: Any, size: int) -> dict[str, Any]:
    summary: dict[str, Any] = {"summary": f"{size:,} bytes as JSON, not stored"}
    if isinstance(value, list):
        summary |= {"items": len(value), "first": str(value[0])[:200], "last": str(value[-1])[:200]}
    return summary
