"""Every request ends as one result, whatever becomes of the download of its row."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from meshflow_prefect import (
    AnthropicBatchClient,
    ApiUnavailableError,
    ResultsUnavailableError,
    collecting,
)
from tests.support.jobs import numbered, stepped
from tests.support.rows import cut, file, good, of, serve
from tests.support.scripted import DROPPED, Answer, problem

pytestmark = stepped
DAY = 86_400
IDS = ["row-0", "row-1", "row-2"]
NOT_FOUND = problem(404, "not_found_error", "Message Batch has no available results.")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(collecting, "PAUSES", (0.01,) * 5)


@pytest.fixture
async def reader(scripted):
    """A client whose every call is one call at the API."""
    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
async def batch_id(reader, anthropic_emulator) -> str:
    """An ended batch of three requests."""
    batch_id = await reader.submit(numbered(3))
    anthropic_emulator.advance(60)
    return batch_id


def downloads(scripted, batch_id: str) -> int:
    return scripted.count(f"GET /v1/messages/batches/{batch_id}/results")


@pytest.mark.parametrize(
    "fault",
    [
        cut(),
        cut(good("row-1", "first")),
        DROPPED,
        problem(500, "api_error", "Oops"),
        problem(529, "overloaded_error", "Busy"),
        problem(429, "rate_limit_error", "Slow", **{"retry-after": "0"}),
        NOT_FOUND,
    ],
    ids=["cut at once", "cut after a row", "dropped", "500", "529", "429", "404 of a new batch"],
)
async def test_a_download_that_stops_is_begun_anew(scripted, reader, batch_id, fault):
    serve(scripted, [fault])

    results = await reader.results(batch_id, custom_ids=IDS)

    assert [(r.custom_id, r.status) for r in results] == [(i, "succeeded") for i in IDS]
    assert downloads(scripted, batch_id) == 2


async def test_rows_that_were_read_before_a_cut_are_kept(scripted, reader, batch_id):
    rows = [good(custom_id, "first") for custom_id in IDS]
    serve(scripted, [cut(rows[2]), cut(rows[1]), file(good("row-1", "second"), rows[0])])

    results = await reader.results(batch_id, custom_ids=IDS)

    assert [result.output for result in results] == ["first"] * 3
    assert downloads(scripted, batch_id) == 3


async def test_a_cut_behind_the_last_row_is_none(scripted, reader, batch_id):
    serve(scripted, [cut(*(good(custom_id) for custom_id in IDS))])
    assert len(await reader.results(batch_id)) == 3
    assert downloads(scripted, batch_id) == 1


async def test_reading_gives_up_after_five_restarts_that_brought_nothing(
    scripted, reader, batch_id
):
    rows = [good(custom_id) for custom_id in IDS]
    serve(scripted, [cut(), cut(), cut(rows[0]), *[cut(rows[0])] * 4, *[cut(*rows[:2])] * 99])

    with pytest.raises(ApiUnavailableError, match="stream of results was cut") as failed:
        await reader.results(batch_id, custom_ids=IDS)

    assert failed.value.batch_id == batch_id
    assert downloads(scripted, batch_id) == 7 + 1 + 5, "a new row resets the count"


@pytest.mark.parametrize("fault", [problem(503, "api_error", "Down"), NOT_FOUND])
async def test_results_that_never_open_are_an_error_that_says_why(
    scripted, reader, batch_id, fault
):
    serve(scripted, [fault] * 99)

    with pytest.raises(ApiUnavailableError, match=str(fault.status)) as failed:
        await reader.results(batch_id, custom_ids=IDS)

    assert (failed.value.batch_id, failed.value.status_code) == (batch_id, fault.status)
    assert downloads(scripted, batch_id) == 6


async def test_a_refusal_is_not_asked_again(scripted, reader, batch_id):
    serve(scripted, [problem(403, "permission_error", "Not yours")])
    with pytest.raises(Exception, match="refused the key"):
        await reader.results(batch_id)
    assert downloads(scripted, batch_id) == 1


async def test_the_pauses_grow_and_follow_what_the_api_says(
    scripted, reader, batch_id, monkeypatch
):
    monkeypatch.setattr(collecting, "PAUSES", (0.0, 0.1, 0.2, 0.4, 0.8))
    serve(scripted, [DROPPED, DROPPED, problem(503, "x", "Down", **{"retry-after": "1"})])
    start = datetime.now(UTC)
    await reader.results(batch_id)
    assert 1.1 <= (datetime.now(UTC) - start).total_seconds() < 5


async def test_a_short_file_is_read_twice_more_before_its_rows_are_missing(
    scripted, reader, batch_id
):
    left = serve(scripted, [file(good("row-2"))] * 3)

    collected = await reader.collect(batch_id, custom_ids=IDS)

    assert [r.error_type for r in collected.results] == ["missing", "missing", None]
    assert (collected.absent, collected.unreadable, collected.is_whole) == (2, 0, False)
    assert left == []
    assert downloads(scripted, batch_id) == 3


async def test_a_file_that_was_short_once_is_whole(scripted, reader, batch_id):
    serve(scripted, [file(), file(good("row-2"))])
    collected = await reader.collect(batch_id, custom_ids=IDS)
    assert all(result.succeeded for result in collected.results)
    assert collected.is_whole


@pytest.mark.parametrize("damage", ["several members", "a wrong checksum", "cut"])
async def test_a_file_that_a_proxy_compressed_badly_is_read_uncompressed(
    scripted, reader, batch_id, damage
):
    rows = [good(name) + b"\n" for name in IDS]
    zipped = {
        "several members": b"".join(map(gzip.compress, rows)),
        "a wrong checksum": gzip.compress(b"".join(rows))[:-8] + bytes(8),
        "cut": gzip.compress(b"".join(rows))[:-20],
    }[damage]
    answer = Answer(200, b"".join(rows), zipped=zipped)
    scripted.script = lambda call: answer if call.endswith("/results") else None

    collected = await reader.collect(batch_id, custom_ids=IDS)

    assert [result.succeeded for result in collected.results] == [True] * 3
    assert collected.is_whole
    assert downloads(scripted, batch_id) == 2


@pytest.mark.parametrize(
    "garbled",
    [good("row-1")[:-7], good("row-1")[:-7] + b'\xff\xfe"}]}}', of("row-1", "no result")],
    ids=["truncated", "not a text", "of another shape"],
)
async def test_a_garbled_row_is_read_again_and_then_missing_with_its_beginning(
    scripted, reader, batch_id, garbled
):
    bad = file(good("row-0"), garbled, good("row-2"))
    serve(scripted, [bad])
    assert (await reader.collect(batch_id, custom_ids=IDS)).is_whole, "a fault of the transfer"

    serve(scripted, [bad] * 3)
    collected = await reader.collect(batch_id, custom_ids=IDS)

    first, second, third = collected.results
    assert first.succeeded
    assert third.succeeded
    assert (second.status, second.error_type, second.cost_usd) == (
        "missing",
        "unreadable_row",
        None,
    )
    assert '{"custom_id":"row-1"' in second.error
    assert (collected.unreadable, collected.absent) == (1, 1)
    assert await reader.results(batch_id) == await reader.results(batch_id), "all is well again"


async def test_a_garbled_row_that_names_nobody_leaves_its_request_missing(
    scripted, reader, batch_id
):
    nameless = b"\x00" * 30 + good("row-1")[30:]
    serve(scripted, [file(good("row-0"), nameless, good("row-2"))] * 3)

    collected = await reader.collect(batch_id, custom_ids=IDS)

    assert [result.error_type for result in collected.results] == [None, "missing", None]
    assert collected.unreadable == 1


async def test_the_words_of_a_model_are_not_taken_for_the_name_of_a_row(scripted, reader, batch_id):
    said = good("row-0", '{"custom_id": "row-1"}')[20:]
    serve(scripted, [file(b"\x00" * 20 + said, good("row-2"))] * 3)

    collected = await reader.collect(batch_id, custom_ids=IDS)

    assert [result.error_type for result in collected.results] == ["missing", "missing", None]


async def test_a_row_that_comes_twice_is_one_result_and_a_good_one_wins(scripted, reader, batch_id):
    once, twice = good("row-0", "first"), good("row-0", "second")
    late = good("row-1", "late")
    left = serve(scripted, [file(once, late[:-4], twice, late, good("row-2"), late[:-3])])

    collected = await reader.collect(batch_id, custom_ids=IDS)

    assert [result.output for result in collected.results] == ["first", "late", "Hi."]
    assert collected.is_whole
    assert left == []
    assert downloads(scripted, batch_id) == 1


async def test_rows_of_other_requests_are_left_out_and_counted(scripted, reader, batch_id):
    serve(scripted, [file(*map(good, [*IDS, "other", "another", "other"]))])

    collected = await reader.collect(batch_id, custom_ids=IDS)

    assert [result.custom_id for result in collected.results] == IDS
    assert collected.unknown_ids == ("other", "another")


async def test_an_unknown_kind_of_result_is_one_errored_row(scripted, reader, batch_id):
    odd = of("row-1", {"type": "postponed", "until": 7})
    serve(scripted, [file(good("row-0"), odd, good("row-2"))])

    results = await reader.results(batch_id, custom_ids=IDS)

    assert [(r.status, r.error_type) for r in results][1] == ("errored", "postponed")
    assert [result.succeeded for result in results] == [True, False, True]


async def test_rows_are_split_at_line_ends_and_nowhere_else(scripted, reader, batch_id):
    texts = ["one\u2028two\u2029three\u0085four\x0bfive", "\r\n in a text", "plain"]
    rows = [good(custom_id, text) for custom_id, text in zip(IDS, texts, strict=True)]
    serve(scripted, [Answer(200, b"\r\n\n".join(rows))])  # and no line end at the end

    results = await reader.results(batch_id)

    assert [result.output for result in results] == texts
    assert downloads(scripted, batch_id) == 1


async def test_the_results_url_is_never_dialled(scripted, reader, batch_id, anthropic_emulator):
    status = f"GET /v1/messages/batches/{batch_id}"
    url = "https://no-such-host.invalid/results"
    body = changed(await raw_batch(reader, batch_id), results_url=url)
    scripted.script = lambda call: body if call == status else None

    assert len(await reader.results(batch_id)) == 3


@pytest.mark.parametrize("how", ["archived", "404 of an old batch", "404 behind a cut"])
async def test_results_that_were_removed_are_missing_by_name_or_an_error(
    scripted, reader, batch_id, anthropic_emulator, how
):
    kept = 0
    if how == "archived":
        anthropic_emulator.advance(29 * DAY)
    else:
        old = datetime.now(UTC) - timedelta(days=29, hours=1)
        body = changed(
            await raw_batch(reader, batch_id),
            created_at=old.isoformat(),
            results_url=None,
        )
        status = f"GET /v1/messages/batches/{batch_id}"
        kept = 1 if how == "404 behind a cut" else 0
        answers = [cut(good("row-0")), NOT_FOUND][1 - kept :]
        served: list[Answer] = []

        def script(call: str) -> Answer:
            if call == status:
                served.clear()
                return body
            served.append(answers[min(len(served), len(answers) - 1)])
            return served[-1]

        scripted.script = script

    collected = await reader.collect(batch_id, custom_ids=IDS)

    assert [result.custom_id for result in collected.results] == IDS
    assert [r.succeeded for r in collected.results] == [True] * kept + [False] * (3 - kept)
    for result in collected.results[kept:]:
        assert (result.status, result.error_type) == ("missing", "results_expired")
        assert batch_id in result.error
        assert "29 days" in result.error
        assert result.cost_usd is None
    with pytest.raises(ResultsUnavailableError, match="29 days after the batch was created"):
        await reader.results(batch_id)


async def test_a_stream_survives_cuts_and_yields_each_row_once(scripted, reader, batch_id):
    rows = [good(custom_id) for custom_id in IDS]
    serve(scripted, [cut(rows[0]), DROPPED, cut(rows[1], rows[0])])

    streamed = [result.custom_id async for result in reader.iter_results(batch_id)]

    assert sorted(streamed) == IDS
    assert streamed[:2] == IDS[:2]


async def test_a_stream_ends_with_the_unreadable_rows_and_a_warning(
    scripted, reader, batch_id, caplog
):
    serve(scripted, [file(good("row-1")[:-4], good("row-0"))] * 3)

    streamed = [result async for result in reader.iter_results(batch_id)]

    assert [(r.custom_id, r.error_type) for r in streamed] == [
        ("row-0", None),
        ("row-1", "unreadable_row"),
    ]
    assert "1 line of the results cannot be read" in caplog.text
    assert "2 requests without a row" in caplog.text


async def test_a_stream_that_cannot_go_on_says_so_after_the_rows_that_came(
    scripted, reader, batch_id
):
    serve(scripted, [cut(good("row-0"))] * 99)
    rows = reader.iter_results(batch_id)
    assert (await anext(rows)).custom_id == "row-0"
    with pytest.raises(ApiUnavailableError, match="stream of results was cut"):
        await anext(rows)


async def raw_batch(reader: AnthropicBatchClient, batch_id: str) -> dict:
    batch = await (await reader._connected()).messages.batches.retrieve(batch_id)
    return orjson.loads(batch.model_dump_json())


def changed(batch: dict, **fields: object) -> Answer:
    return Answer(200, orjson.dumps(batch | fields))


PAGE = Answer(200, b"<html>\n<body>Back soon</body>\n</html>")


async def test_a_page_after_a_cut_is_not_the_end_of_the_file(scripted, reader, batch_id):
    serve(scripted, [cut(good("row-0")), *[PAGE] * 3])

    with pytest.raises(ApiUnavailableError, match="in place of its results there came '<html>'"):
        await reader.results(batch_id, custom_ids=IDS)


async def test_a_page_is_no_stream_without_rows(scripted, reader, batch_id):
    serve(scripted, [PAGE] * 3)

    with pytest.raises(ApiUnavailableError, match="in place of its results"):
        assert [result async for result in reader.iter_results(batch_id)] == []


async def test_a_key_that_is_repeated_in_place_of_a_result_is_not_shown(scripted, reader, batch_id):
    key = "sk-ant-key-of-this-test-0123456789"
    told = {"type": "error", "error": {"type": "api_error", "message": f"Key {key} is busy."}}
    garbled = b'{"custom_id": "row-1", "key": "%b", "result"' % key.encode()
    serve(scripted, [file(of("row-0", {"type": "errored", "error": told}), garbled)] * 3)
    rows = {row.custom_id: row for row in await reader.results(batch_id)}
    assert rows["row-0"].error == "api_error: Key ******** is busy."
    assert "cannot be read" in rows["row-1"].error
    assert "sk-ant" not in repr(rows)

    serve(scripted, [Answer(200, f"<p>Who is {key}?".encode())] * 3)
    with pytest.raises(ApiUnavailableError, match="Who is ") as refused:
        await reader.results(batch_id)
    assert "sk-ant" not in repr(refused.value)
