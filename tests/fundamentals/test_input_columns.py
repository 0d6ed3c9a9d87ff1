"""The input's columns go into the output, under names that the results do not have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect.bulk.input_columns import InputColumns
from meshflow_prefect.models import RESULT_COLUMNS

NAMES = st.sampled_from(["status", "input_status", "input_input_status", "text", "model", "a"])


def types(*values: object) -> str:
    columns = InputColumns()
    for value in values:
        columns.renamed({"x": value})
    return columns.types["x"]


def test_a_name_of_the_results_gets_a_prefix_in_every_row():
    columns = InputColumns()

    assert columns.renamed({"text": "a", "status": 1}) == {"text": "a", "input_status": 1}
    assert columns.renamed({"status": 2, "text": "b"}) == {"input_status": 2, "text": "b"}
    assert list(columns.types) == ["text", "input_status"]


@given(st.lists(st.dictionaries(NAMES, st.integers(0, 9)), max_size=6))
def test_no_two_columns_share_a_name_and_none_is_one_of_the_results(rows):
    columns = InputColumns()
    found = [columns.renamed(row) for row in rows]

    under: dict[str, str] = {}
    for row, renamed in zip(rows, found, strict=True):
        assert list(renamed.values()) == list(row.values())
        for old, new in zip(row, renamed, strict=True):
            assert under.setdefault(old, new) == new
    assert len(set(under.values())) == len(under)
    assert set(under.values()).isdisjoint(RESULT_COLUMNS)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", None, "b"], "string"),
        ([1, None, -(2**63)], "int64"),
        ([1, 2.5], "double"),
        ([2**53, 2.5], "double"),
        ([2**53 + 1, 2.5], "json"),
        ([2.5, -(2**60)], "json"),
        ([2**63], "json"),
        ([True, False], "bool"),
        ([True, 1], "json"),
        (["a", 1], "json"),
        ([{"a": 1}], "json"),
        ([[1]], "json"),
        ([None], "string"),
    ],
)
def test_a_column_has_the_narrowest_type_that_holds_all_its_values(values, kind):
    assert types(*values) == kind
    assert types(*reversed(values)) == kind
