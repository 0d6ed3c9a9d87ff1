"""Rows come in any order; results are one for each request, in the order of the requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import ApiUnavailableError, BatchJob, BatchResult, collecting
from meshflow_prefect.collecting import collect, stream
from meshflow_prefect.results import in_input_order
from tests.support import rows

IDS = st.lists(st.sampled_from([f"row-{n}" for n in range(12)]), unique=True, max_size=12)


@st.composite
def ids_and_rows(draw):
    """Ids, and rows of a subset of them, some twice, some of unknown requests, shuffled."""
    ids = draw(IDS)
    known = [i for i in ids if draw(st.booleans())]
    doubled = [i for i in known if draw(st.booleans())]
    unknown = draw(st.lists(st.sampled_from(["x", "y"]), max_size=3))
    rows = draw(st.permutations(known + doubled + unknown))
    return ids, [BatchResult(i, "succeeded", output=str(at)) for at, i in enumerate(rows)]


@given(ids_and_rows())
def test_exactly_one_result_for_each_id_in_order_whatever_the_rows(case):
    ids, rows = case

    results = in_input_order(ids, iter(rows))

    assert [result.custom_id for result in results] == ids
    for result in results:
        first = next((row for row in rows if row.custom_id == result.custom_id), None)
        assert result == first if first else result.status == "missing"


def test_a_missing_row_is_an_error_of_unknown_cost():
    (result,) = in_input_order(["a"], [])

    assert (result.status, result.error_type, result.succeeded) == ("missing", "missing", False)
    assert "no row for this request" in result.error
    assert result.cost_usd is None


def test_of_two_rows_for_one_request_the_first_counts():
    rows = [BatchResult("a", "expired"), BatchResult("a", "canceled")]
    assert in_input_order(["a"], rows) == rows[:1]


@pytest.fixture(autouse=True, scope="module")
def no_pauses():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collecting, "PAUSES", (0.0,) * 5)
        yield


def a_job(total: int) -> BatchJob:
    now = datetime.now(UTC)
    counts = {"succeeded": total}
    return BatchJob("msgbatch_1", "ended", counts, created_at=now, expires_at=now)


LINES = st.lists(
    st.tuples(
        st.sampled_from([f"row-{n}" for n in range(6)]),
        st.sampled_from(["whole", "without its end", "without its id", "of another shape"]),
    ),
    max_size=20,
)


def line(position: int, custom_id: str, state: str) -> bytes:
    whole = rows.good(custom_id, str(position))
    return {
        "whole": whole,
        "without its end": whole[:-5],
        "without its id": b"\x00" * 20 + whole[20:],
        "of another shape": rows.of(custom_id, None),
    }[state]


@given(st.lists(st.sampled_from([f"row-{n}" for n in range(8)]), unique=True), LINES)
async def test_any_lines_whatever_are_one_result_for_each_request_in_their_order(ids, states):
    lines = [line(n, custom_id, state) for n, (custom_id, state) in enumerate(states)]

    async def download():
        yield lines[:7]
        yield lines[7:]

    collected = await collect(a_job(total=0), download, ids)

    good = [(custom_id, str(n)) for n, (custom_id, state) in enumerate(states) if state == "whole"]
    first = dict(reversed(good))
    named = {
        custom_id for custom_id, state in states if state in ("without its end", "of another shape")
    }
    assert [result.custom_id for result in collected.results] == ids
    for result in collected.results:
        if result.custom_id in first:
            assert (result.status, result.output) == ("succeeded", first[result.custom_id])
        else:
            expected = "unreadable_row" if result.custom_id in named else "missing"
            assert (result.status, result.error_type) == ("missing", expected)
    assert set(collected.unknown_ids) == first.keys() - set(ids)
    assert len(collected.unknown_ids) == len(first.keys() - set(ids))
    nameless = sum(state == "without its id" for _, state in states)
    assert collected.unreadable == len(named - first.keys()) + nameless


@given(st.data())
async def test_wherever_a_download_is_cut_each_row_comes_once(data):
    """As long as every restart brings a row, or the next one does, nothing is lost or doubled."""
    ids = [f"row-{n}" for n in range(8)]
    lines = [rows.good(custom_id) for custom_id in ids]
    ends = data.draw(st.lists(st.integers(0, 8), max_size=5))

    async def download():
        end = ends.pop() if ends else None
        yield lines[:end]
        if end is not None:
            raise ApiUnavailableError("cut")

    streamed = [result.custom_id async for result in stream(a_job(total=8), download)]

    assert streamed == ids
