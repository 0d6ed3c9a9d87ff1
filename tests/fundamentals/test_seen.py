"""What has been seen in a source is known without being held in memory."""

from __future__ import annotations

from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect.bulk.uniqueness import Seen

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
KEYS = st.one_of(st.lists(TEXTS), st.lists(st.binary(max_size=3)))


@given(KEYS)
def test_each_key_is_met_first_where_it_came_first(tmp_path_factory, keys):
    known: dict[object, tuple[str, int]] = {}
    with closing(Seen(tmp_path_factory.mktemp("seen") / "keys.sqlite")) as seen:
        for line, key in enumerate(keys):
            expected = known.get(key)
            known.setdefault(key, ("file.jsonl", line))
            assert seen.first(key, ("file.jsonl", line)) == expected


def test_among_many_in_order_one_that_comes_again_is_known(tmp_path):
    with closing(Seen(tmp_path / "keys.sqlite")) as seen:
        for number in range(12_000):
            assert seen.first(str(number), ("f", number)) is None
        for number in (0, 4_999, 5_000, 11_999):
            assert seen.first(str(number), ("f", -1)) == ("f", number)
        assert seen.first("12000", ("f", 12_000)) is None


def test_keys_that_differ_in_case_or_blanks_are_others(tmp_path):
    with closing(Seen(tmp_path / "keys.sqlite")) as seen:
        assert [seen.first(key, ("f", 1)) for key in ("a", "A", "a ", "1", "01", "")] == [None] * 6


def test_a_new_pass_over_a_source_has_seen_nothing(tmp_path):
    for _ in range(2):
        with closing(Seen(tmp_path / "keys.sqlite")) as seen:
            assert seen.first("a", ("f", 1)) is None
