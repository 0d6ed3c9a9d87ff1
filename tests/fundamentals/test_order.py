"""Rows come in any order; results are one for each request, in the order of the requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import BatchResult
from meshflow_prefect.results import in_input_order

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
