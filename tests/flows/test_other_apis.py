"""Gateways answer in forms of their own: no batch is made twice or lost, nothing hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from prefect import flow

from meshflow_prefect import (
    AnthropicBatchClient,
    BatchResult,
    InvalidRequestError,
    MeshflowError,
    SubmissionUnknownError,
    batch_agent_tasks,
    submit_batch,
)
from tests.support.jobs import SOON, named, numbered, requests
from tests.support.scripted import CREATE, DROPPED, Answer, ScriptedApi, problem

LIST = "GET /v1/messages/batches?"
JSON = {"content-type": "application/json"}
FORBIDDEN = Answer(
    403, b"<html><body><h1>Access denied</h1></body></html>", {"content-type": "text/html"}
)
"""What a firewall between here and the API shows, in place of all answers or of some."""


def edited(prefix: str, edit: Callable[[dict[str, Any]], object]) -> Callable[..., Answer]:
    """Answers to calls that begin so, as `edit` leaves them."""

    def change(call: str, answer: Answer) -> Answer:
        if not call.startswith(prefix):
            return answer
        body = orjson.loads(answer.body)
        edit(body)
        return Answer(answer.status, orjson.dumps(body), JSON)

    return change


def lose_the_first_create(api: ScriptedApi, lost: Answer = DROPPED) -> None:
    """The batch is made, and its answer does not arrive."""
    answers = [lost]
    api.after = lambda call: answers.pop() if call == CREATE and answers else None


async def job() -> list[BatchResult]:
    return await batch_agent_tasks(named(3), poll_interval=SOON)


async def batches_elsewhere(count: int) -> list[str]:
    async with AnthropicBatchClient() as client:
        return [await client.submit(requests(3)) for _ in range(count)]


async def test_an_empty_answer_to_a_create_is_a_lost_one(emulator, scripted):
    lose_the_first_create(scripted, Answer(200, b"", JSON))

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(emulator.batches()) == scripted.count(CREATE) == 1


@pytest.mark.parametrize("headers", [JSON, {"content-type": "text/plain"}, {}])
async def test_an_answer_to_a_create_that_holds_no_more_than_the_id_is_believed(
    emulator, scripted, headers
):
    """Whatever is missing, that batch is paid for: nothing is looked for, and nothing sent."""

    def bare(call: str, answer: Answer) -> Answer:
        if call != CREATE:
            return answer
        return Answer(200, orjson.dumps({"id": orjson.loads(answer.body)["id"]}), headers)

    scripted.change = bare

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(emulator.batches()) == scripted.count(CREATE) == 1
    assert len([call for call in scripted.calls if call.startswith(LIST)]) == 1


async def test_an_answer_to_a_create_with_an_id_of_another_form_is_believed_when_it_is_whole(
    emulator, scripted
):
    scripted.change = edited(CREATE, lambda batch: batch.update(id="batch-of-the-gateway"))

    @flow
    async def root() -> str:
        return await submit_batch(requests(3))

    assert await root() == "batch-of-the-gateway"
    assert scripted.count(CREATE) == 1


async def test_an_answer_to_a_create_that_is_something_else_with_an_id_is_a_lost_one(
    emulator, scripted
):
    lose_the_first_create(scripted, Answer(200, b'{"id": "req_1", "object": "error"}', JSON))

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(emulator.batches()) == scripted.count(CREATE) == 1


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_a_lost_batch_is_found_in_a_list_whose_oldest_come_first(emulator, scripted, before):
    made = await batches_elsewhere(before)
    lose_the_first_create(scripted)
    scripted.change = edited(LIST, lambda page: page["data"].reverse())

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(emulator.batches()) == scripted.count(CREATE) == 1 + len(made)


@pytest.mark.parametrize("missing", ["request_counts", "created_at", "expires_at"])
async def test_a_lost_batch_is_found_in_a_list_that_leaves_things_out(emulator, scripted, missing):
    await batches_elsewhere(1)
    lose_the_first_create(scripted)
    scripted.change = edited(LIST, lambda page: [job.pop(missing) for job in page["data"]])

    async with asyncio.timeout(90):
        assert [result.succeeded for result in await job()] == [True] * 3
    assert len(emulator.batches()) == scripted.count(CREATE) == 2


@pytest.mark.anthropic_emulator(batch_seconds=40)
async def test_a_lost_batch_that_was_seen_is_not_forgotten_for_what_a_later_list_counts(
    emulator, scripted
):
    """A counter that is behind for one answer would have it sent, and paid for, again."""
    lose_the_first_create(scripted)
    looks: list[str] = []

    def count(page: dict[str, Any]) -> None:
        counted = page["data"][0]["request_counts"] if page["data"] else {}
        if counted.get("processing"):
            looks.append("")
            # Right once, and then less than there are, for longer than the list is watched.
            counted["processing"] -= len(looks) > 1

    scripted.change = edited(LIST, count)

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(looks) > 1
    assert len(emulator.batches()) == scripted.count(CREATE) == 1


async def test_a_lost_batch_that_is_counted_twice_when_it_has_ended_is_found(emulator, scripted):
    lose_the_first_create(scripted)
    scripted.change = edited(
        LIST, lambda page: [job["request_counts"].update(processing=2) for job in page["data"]]
    )

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(emulator.batches()) == scripted.count(CREATE) == 1


async def test_a_batch_with_a_status_of_a_later_version_does_not_hide_the_others(
    emulator, scripted
):
    await batches_elsewhere(1)
    lose_the_first_create(scripted)
    scripted.change = edited(
        LIST, lambda page: page["data"][-1].update(processing_status="archived")
    )

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(emulator.batches()) == scripted.count(CREATE) == 2


async def test_a_list_whose_last_page_is_empty_ends_there(emulator, scripted):
    await batches_elsewhere(2)
    scripted.change = edited(LIST, lambda page: page.update(has_more=True))

    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        assert len(await client.list()) == 2


async def test_results_that_are_empty_for_a_while_are_read_again(emulator, scripted):
    empty = [Answer(200, b"", JSON)] * 4
    scripted.script = lambda call: empty.pop() if call.endswith("/results") and empty else None

    assert [result.succeeded for result in await job()] == [True] * 3
    assert empty == []


@pytest.mark.parametrize(("body", "times"), [(b"{}", 7), (b"", 1), (b"<html>", 1)])
async def test_a_list_that_is_none_is_not_an_empty_one(emulator, scripted, body, times):
    """Taken for empty, and for so long, it would say that nothing was accepted."""
    lose_the_first_create(scripted)
    answers = [Answer(200, body, JSON)] * times
    scripted.script = lambda call: (
        answers.pop() if scripted.count(CREATE) and call.startswith(LIST) and answers else None
    )

    assert [result.succeeded for result in await job()] == [True] * 3
    assert answers == []
    assert len(emulator.batches()) == scripted.count(CREATE) == 1


def begins_anew(api: ScriptedApi) -> None:
    """A list of pages that are short, and whatever is asked for, the first one."""
    first: list[Answer] = []

    def change(call: str, answer: Answer) -> Answer:
        if not call.startswith(LIST):
            return answer
        if "after_id" not in call:
            page = orjson.loads(answer.body)
            page["data"] = page["data"][:2]
            page |= {"has_more": True, "last_id": page["data"][-1]["id"] if page["data"] else None}
            first[:] = [Answer(200, orjson.dumps(page), JSON)]
        return first[0]

    api.change = change


async def test_a_list_that_begins_anew_is_not_read_for_ever(emulator, scripted):
    await batches_elsewhere(3)
    begins_anew(scripted)

    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(MeshflowError, match="does not know `after_id`"):
            await client.list()
        assert len(await client.list(2)) == 2


async def test_where_the_list_cannot_be_read_to_its_end_a_person_decides(emulator, scripted):
    """A batch that may be on a page that is never shown is not taken for one that was not made."""
    lose_the_first_create(scripted)
    begins_anew(scripted)

    @flow
    async def root() -> str:
        with pytest.raises(SubmissionUnknownError, match=r"`after_id`.*resubmit"):
            await submit_batch(requests(3))
        (made,) = [batch["id"] for batch in emulator.batches()]
        assert await submit_batch(requests(3), if_unknown=made) == made
        return made

    assert [await root()] == [batch["id"] for batch in emulator.batches()]
    assert scripted.count(CREATE) == 1


async def test_a_gateway_without_lists_leaves_the_decision_to_a_person(emulator, scripted):
    lose_the_first_create(scripted)
    no_lists = problem(404, "not_found_error", "There is nothing here")
    scripted.script = lambda call: no_lists if call.startswith(LIST) else None

    with pytest.raises(SubmissionUnknownError, match="There is nothing here"):
        await job()
    assert scripted.count(CREATE) == 1


async def test_a_retry_after_that_is_a_date_is_waited_for(emulator, scripted):
    until = datetime.now(UTC) + timedelta(seconds=12)
    limit = problem(
        429, "rate_limit_error", "Slow", **{"retry-after": format_datetime(until, usegmt=True)}
    )
    answers, times = [limit], []

    def script(call: str) -> Answer | None:
        if call != CREATE:
            return None
        times.append(datetime.now(UTC))
        return answers.pop() if answers else None

    scripted.script = script

    assert [result.succeeded for result in await job()] == [True] * 3
    assert len(times) == 2
    # The date has no fractions of a second.
    assert times[1] >= until - timedelta(seconds=1)


async def test_a_batch_that_is_named_as_the_lost_one_is_taken_once(emulator, scripted):
    no_lists = problem(404, "not_found_error", "There is nothing here")
    scripted.script = lambda call: no_lists if call.startswith(LIST) else None

    @flow
    async def root() -> None:
        lose_the_first_create(scripted)
        with pytest.raises(SubmissionUnknownError):
            await submit_batch(requests(3))
        (made,) = [batch["id"] for batch in emulator.batches()]
        assert await submit_batch(requests(3), if_unknown=made) == made
        lose_the_first_create(scripted)
        with pytest.raises(InvalidRequestError, match="that of submission 0 of this run"):
            await submit_batch(numbered(3, max_tokens=7), if_unknown=made)

    await root()

    assert scripted.count(CREATE) == len(emulator.batches()) == 2


@pytest.mark.parametrize("written", [lambda time: time[:19], lambda _time: "soon"])
async def test_times_without_a_zone_are_utc_and_others_are_none(emulator, scripted, written):
    times = ("created_at", "expires_at", "ended_at")

    def edit(batch: dict[str, Any]) -> None:
        batch |= {name: written(batch[name]) for name in times if batch[name]}

    plain = edited("GET /v1/messages/batches/msgbatch_", edit)
    scripted.change = lambda call, answer: (
        answer if call.endswith("/results") else plain(call, answer)
    )

    results = await batch_agent_tasks(named(3), poll_interval=SOON, timeout=600)

    assert [result.succeeded for result in results] == [True] * 3


@pytest.mark.parametrize("page", [b"<html>\n<body>Back soon</body>\n</html>", b'{"error":"x"}'])
async def test_a_page_in_place_of_the_results_is_not_taken_for_them(emulator, scripted, page):
    """Taken for a file that lacks every row, it would end the job with nothing of what was paid."""
    pages = [Answer(200, page, {"content-type": "text/html"})] * 7
    scripted.script = lambda call: pages.pop() if call.endswith("/results") and pages else None

    assert [result.succeeded for result in await job()] == [True] * 3
    assert pages == []


async def test_the_page_of_a_firewall_that_forbids_a_while_does_not_end_the_wait(
    emulator, scripted
):
    pages = [FORBIDDEN] * 6
    scripted.script = lambda call: (
        pages.pop() if call != CREATE and scripted.count(CREATE) and pages else None
    )

    assert [result.succeeded for result in await job()] == [True] * 3
    assert pages == []
    assert len(emulator.batches()) == scripted.count(CREATE) == 1


async def test_creates_that_are_cut_off_amid_their_bodies_are_sent_again(emulator, scripted):
    """Nothing is looked for, as no batch can have been made of a part."""
    scripted.cut_off = 2
    prompts = ["word " * 200_000 for _ in range(10)]

    results = await batch_agent_tasks(prompts, poll_interval=SOON)

    assert [result.succeeded for result in results] == [True] * 10
    assert scripted.count(CREATE) == 3
    assert len(emulator.batches()) == 1
    create, *_, last = [n for n, call in enumerate(scripted.calls) if call == CREATE]
    assert set(scripted.calls[create:last]) == {CREATE}
