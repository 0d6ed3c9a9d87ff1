"""JSON in and out, with whole numbers of any length."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import exact_json

NUMBERS = st.integers(-(2**200), 2**200) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value):
    text = exact_json.dumps(value)
    assert json.loads(text) == value
    assert repr(exact_json.loads(text)) == repr(value)


@given(st.lists(st.integers(-(2**63), 2**64 - 1)))
def test_numbers_of_64_bits_are_orjsons(value):
    assert exact_json.dumps(value) == orjson.dumps(value)
    assert exact_json.loads(orjson.dumps(value)) == value


@pytest.mark.parametrize("value", [{1: 2**70}, [2**70, {3}], [2**70, object()]])
def test_what_json_has_no_form_for_is_refused_beside_a_long_number_too(value):
    with pytest.raises(TypeError):
        exact_json.dumps(value)


def test_numbers_that_json_does_not_have_are_null_as_with_orjson():
    assert exact_json.dumps([2**70, float("nan"), float("-inf")]) == f"[{2**70},null,null]".encode()
