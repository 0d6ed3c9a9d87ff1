"""Pieces of a job go through a queue that takes so many requests at once, each exactly once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import InvalidRequestError
from meshflow_prefect.queueing import Queue, check_queue


@dataclass(frozen=True)
class Piece:
    """A piece of a job, with the sizes of what is sent again after it, one after the other."""

    name: int
    requests: int
    again: tuple[int, ...] = ()
    attempt: int = 1
    is_sent: bool = True


PIECES = st.lists(
    st.tuples(st.integers(1, 20), st.lists(st.integers(1, 20), max_size=2), st.booleans()),
    max_size=8,
).map(
    lambda sizes: [
        Piece(name, requests, tuple(min(each, requests) for each in again), is_sent=is_sent)
        for name, (requests, again, is_sent) in enumerate(sizes)
    ]
)


@dataclass
class Anthropic:
    """Batches that wait, and end in any order, some at a time."""

    random: random.Random
    submitted: list[Piece] = field(default_factory=list)
    waiting: dict[str, Piece] = field(default_factory=dict)
    most: int = 0
    """Requests that waited at once, where more than one batch did."""
    collected: list[Piece] = field(default_factory=list)

    async def submit(self, piece: Piece) -> str | None:
        if not piece.is_sent:
            return None
        self.submitted.append(piece)
        batch_id = f"batch-{len(self.submitted)}"
        self.waiting[batch_id] = piece
        if len(self.waiting) > 1:
            self.most = max(self.most, sum(each.requests for each in self.waiting.values()))
        return batch_id

    async def ended(self, batch_ids: Sequence[str]) -> Sequence[str]:
        assert set(batch_ids) == set(self.waiting)
        return self.random.sample(batch_ids, self.random.randint(1, len(batch_ids)))

    async def collect(self, piece: Piece, batch_id: str) -> Piece | None:
        assert self.waiting.pop(batch_id) is piece
        self.collected.append(piece)
        if not piece.again:
            return None
        return Piece(piece.name, piece.again[0], piece.again[1:], piece.attempt + 1)

    def work_off(self, pieces: Sequence[Piece], most: int) -> None:
        queue = Queue(
            pieces,
            most_requests=most,
            submit=self.submit,
            ended=self.ended,
            collect=self.collect,
        )
        asyncio.run(queue.work_off())


@given(PIECES, st.integers(1, 40), st.randoms(use_true_random=False))
def test_never_do_more_requests_wait_than_may_unless_a_single_piece_is_larger(pieces, most, rng):
    anthropic = Anthropic(rng)

    anthropic.work_off(pieces, most)

    assert anthropic.most <= most


@given(PIECES, st.integers(1, 40), st.randoms(use_true_random=False))
def test_every_piece_and_all_that_follows_is_submitted_and_collected_once(pieces, most, rng):
    anthropic = Anthropic(rng)

    anthropic.work_off(pieces, most)

    expected = sorted(
        (piece.name, attempt)
        for piece in pieces
        if piece.is_sent
        for attempt in range(1, len(piece.again) + 2)
    )
    assert sorted((each.name, each.attempt) for each in anthropic.submitted) == expected
    assert sorted((each.name, each.attempt) for each in anthropic.collected) == expected
    assert anthropic.waiting == {}


@given(PIECES, st.integers(1, 40), st.randoms(use_true_random=False))
def test_first_attempts_are_submitted_in_their_order(pieces, most, rng):
    anthropic = Anthropic(rng)

    anthropic.work_off(pieces, most)

    firsts = [each.name for each in anthropic.submitted if each.attempt == 1]
    assert firsts == sorted(firsts)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 40))
def test_all_that_fits_is_submitted_before_anything_is_waited_for(sizes, most):
    pieces = [Piece(name, requests) for name, requests in enumerate(sizes)]
    seen: list[int] = []

    class Looking(Anthropic):
        async def ended(self, batch_ids: Sequence[str]) -> Sequence[str]:
            following = pieces[len(self.submitted)] if len(self.submitted) < len(pieces) else None
            waits = sum(piece.requests for piece in self.waiting.values())
            assert following is None or waits + following.requests > most
            seen.append(waits)
            return await super().ended(batch_ids)

    Looking(random.Random(0)).work_off(pieces, most)

    assert seen


def test_what_is_sent_again_comes_before_chunks_that_have_not_been_sent():
    anthropic = Anthropic(random.Random(0))

    anthropic.work_off([Piece(0, 10, (1,)), Piece(1, 10)], most=10)

    assert [(each.name, each.attempt) for each in anthropic.submitted] == [(0, 1), (0, 2), (1, 1)]


@pytest.mark.parametrize("most", [0, -1, True])
def test_a_queue_that_takes_nothing_is_refused(most):
    with pytest.raises(InvalidRequestError, match="max_requests_in_queue"):
        check_queue(most)
