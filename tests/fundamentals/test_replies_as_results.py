"""A result that is made of a reply is the one that its constructor makes."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError

import pytest

from meshflow_prefect.models import BatchResult

GIVEN = {
    "custom_id": "row-1",
    "status": "succeeded",
    "output": "Yes.",
    "usage": {"input_tokens": 1},
}


def test_it_is_equal_and_has_its_fields_in_the_same_order():
    made, constructed = BatchResult.of_reply(**GIVEN), BatchResult(**GIVEN)

    assert made == constructed
    assert list(made.to_dict().items()) == list(constructed.to_dict().items())
    assert pickle.loads(pickle.dumps(made)) == constructed
    with pytest.raises(FrozenInstanceError):
        made.output = "No."


def test_two_of_them_share_nothing_that_can_be_changed():
    one, other = BatchResult.of_reply(**GIVEN), BatchResult.of_reply(**GIVEN)

    assert one.earlier_usage is not other.earlier_usage
