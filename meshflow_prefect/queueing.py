"""More chunks than may wait at Anthropic at once: submit what fits, and go on as batches end."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from meshflow_prefect.errors import InvalidRequestError

MAX_IN_QUEUE = 100_000
"""Requests that wait at Anthropic at once. The lowest tier's limit, over all of an organisation's
batches, is 200,000: half of it leaves room for others."""


class Piece(Protocol):
    """What goes into one batch."""

    @property
    def requests(self) -> int:
        """How many requests it has."""


P = TypeVar("P", bound=Piece)


class Queue(Generic[P]):
    """The pieces of a job on their way through Anthropic's queue."""

    def __init__(
        self,
        pieces: Iterable[P],
        *,
        most_requests: int,
        submit: Callable[[P], Awaitable[str | None]],
        ended: Callable[[Sequence[str]], Awaitable[Sequence[str]]],
        collect: Callable[[P, str], Awaitable[P | None]],
    ) -> None:
        """Prepare the way.

        Args:
            pieces: What is to be done, in this order.
            most_requests: How many requests may wait at once. A larger piece goes alone.
            submit: Returns the batch of a piece; None for one that is not to be sent.
            ended: Waits until at least one of these batches has ended, and returns which have.
            collect: Takes in the results of a piece's batch; returns what is to be sent again.
        """
        self._pieces = deque(pieces)
        self._most_requests = most_requests
        self._submit, self._ended, self._collect = submit, ended, collect
        self._waiting: dict[str, P] = {}

    async def work_off(self) -> None:
        """Bring every piece to its end. Stops at the first error; a replay goes on from there."""
        while self._pieces or self._waiting:
            while self._pieces and self._has_room(self._pieces[0]):
                piece = self._pieces.popleft()
                if (batch_id := await self._submit(piece)) is not None:
                    self._waiting[batch_id] = piece
            if self._waiting:
                for batch_id in await self._ended(list(self._waiting)):
                    again = await self._collect(self._waiting.pop(batch_id), batch_id)
                    if again is not None:
                        # First what is nearly done: its chunk can then be put away.
                        self._pieces.appendleft(again)

    def _has_room(self, piece: P) -> bool:
        waiting = sum(each.requests for each in self._waiting.values())
        return not self._waiting or waiting + piece.requests <= self._most_requests


def check_queue(most_requests: int) -> None:
    """Raise `InvalidRequestError` for a queue that takes nothing."""
    if isinstance(most_requests, bool) or most_requests < 1:
        raise InvalidRequestError(
            f"max_requests_in_queue: must be at least 1, got {most_requests!r}."
        )
