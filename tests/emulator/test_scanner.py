"""The scanner finds the same items whatever pieces the body comes in."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshflow_prefect.emulator.scanner import BodyScanner, ScanError

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\{}[],: é\n'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def _items(body: bytes, piece: int) -> list[Any]:
    scanner = BodyScanner()
    found = []
    for at in range(0, len(body), piece):
        found += [json.loads(item) for item in scanner.feed(body[at : at + piece])]
    scanner.close()
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(_JSON, max_size=4), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_items_are_the_same_in_pieces_of_any_size(
    items: list[Any], piece: int, indent: int | None, escaped: bool
) -> None:
    body = {"before": {"requests": [1, "]"]}, "requests": items, "after": "x"}
    assert _items(json.dumps(body, indent=indent, ensure_ascii=escaped).encode(), piece) == items


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\ requests', max_size=40).map(str.encode))
def test_no_bytes_make_the_scanner_fail_in_another_way(junk: bytes) -> None:
    with suppress(ScanError, json.JSONDecodeError, UnicodeDecodeError):
        _items(junk, 7)


def test_other_keys_of_the_body_are_remembered() -> None:
    scanner = BodyScanner()
    body = b' {"a\\u0062": [1, {"x": "]"}], "requests": [1, "2"], "c": null} '
    assert list(scanner.feed(body)) == [b"1", b'"2"']
    scanner.close()
    assert scanner.keys == ["ab", "requests", "c"]


def test_two_lists_of_requests_are_refused() -> None:
    with pytest.raises(ScanError, match="duplicate"):
        _items(b'{"requests": [1], "requests": [2]}', 100)
