"""The list of batches, page by page."""

from __future__ import annotations

import httpx
import pytest

from tests.emulator.wire import BATCHES, create, error_of


@pytest.fixture
def ids(api: httpx.Client) -> list[str]:
    """Five batches, the newest first, all made at one moment of the clock."""
    return [create(api)["id"] for _ in range(5)][::-1]


def _page(api: httpx.Client, **query: object) -> tuple[list[str], bool]:
    body = api.get(BATCHES, params=query).json()
    found = [batch["id"] for batch in body["data"]]
    assert body["first_id"] == (found[0] if found else None)
    assert body["last_id"] == (found[-1] if found else None)
    return found, body["has_more"]


def test_no_batches_are_an_empty_page_with_null_ids(api: httpx.Client) -> None:
    assert api.get(BATCHES).json() == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_the_newest_batch_comes_first(api: httpx.Client, ids: list[str]) -> None:
    assert _page(api) == (ids, False)


def test_after_id_goes_on_towards_older_batches(api: httpx.Client, ids: list[str]) -> None:
    assert _page(api, limit=2) == (ids[:2], True)
    assert _page(api, limit=2, after_id=ids[1]) == (ids[2:4], True)
    assert _page(api, limit=2, after_id=ids[3]) == (ids[4:], False)
    assert _page(api, after_id=ids[4]) == ([], False)


def test_before_id_goes_back_towards_newer_batches(api: httpx.Client, ids: list[str]) -> None:
    assert _page(api, limit=2, before_id=ids[4]) == (ids[2:4], True)
    assert _page(api, limit=2, before_id=ids[2]) == (ids[:2], False)
    assert _page(api, before_id=ids[0]) == ([], False)


def test_a_page_holds_twenty_unless_told_otherwise(api: httpx.Client) -> None:
    for _ in range(21):
        create(api)
    found, has_more = _page(api)
    assert (len(found), has_more) == (20, True)
    assert len(_page(api, limit=1000)[0]) == 21


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": 0}, "limit: Input should be greater than or equal to 1"),
        ({"limit": 1001}, "limit: Input should be less than or equal to 1000"),
        (
            {"limit": "ten"},
            "limit: Input should be a valid integer, unable to parse string as an integer",
        ),
        ({"after_id": "a", "before_id": "b"}, "after_id: cannot be used together with before_id"),
        ({"after_id": "nobody"}, "after_id: Message Batch nobody not found."),
    ],
)
def test_a_bad_query_is_a_400(api: httpx.Client, query: dict[str, object], message: str) -> None:
    answer = api.get(BATCHES, params=query)
    assert error_of(answer) == (400, "invalid_request_error", message)
