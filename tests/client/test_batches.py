"""A batch from submit to its results, through the client alone."""

from __future__ import annotations

import httpx
import orjson
import pytest

from meshflow_prefect import (
    AnthropicBatchClient,
    BatchNotEndedError,
    BatchNotFoundError,
    BatchRequest,
    BatchWaitTimeoutError,
    InvalidRequestError,
    ResultsUnavailableError,
    total_cost,
)
from tests.support.jobs import numbered, quick, stepped
from tests.support.scripted import CREATE, Answer

DAY = 86_400


@quick
async def test_run_returns_one_result_for_each_request_in_their_order(client, anthropic_emulator):
    results = await client.run(numbered(30), poll_interval=0.05)

    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(30)]
    assert [f"the number {n}”" in result.output for n, result in enumerate(results)] == [True] * 30
    assert total_cost(results) > 0
    assert len(anthropic_emulator.batches()) == 1


@stepped
async def test_a_batch_from_submit_to_its_results(client, anthropic_emulator):
    batch_id = await client.submit(numbered(4))

    job = await client.status(batch_id)
    assert (job.batch_id, job.status, job.is_complete) == (batch_id, "in_progress", False)
    assert job.request_counts == {
        "processing": 4,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert (job.expires_at - job.created_at).total_seconds() == DAY

    anthropic_emulator.advance(60)

    job = await client.status(batch_id)
    assert (job.status, job.is_complete, job.request_counts["succeeded"]) == ("ended", True, 4)
    assert job.ended_at is not None
    streamed = [result async for result in client.iter_results(batch_id)]
    assert {result.custom_id for result in streamed} == {f"row-{n}" for n in range(4)}
    assert await client.results(batch_id) == streamed
    ordered = await client.results(batch_id, custom_ids=["row-2", "absent", "row-0"])
    assert [(r.custom_id, r.status) for r in ordered] == [
        ("row-2", "succeeded"),
        ("absent", "missing"),
        ("row-0", "succeeded"),
    ]


@stepped
async def test_every_feature_of_a_request_reaches_the_model(client, anthropic_emulator):
    tool = {"name": "look", "input_schema": {"type": "object"}}
    schema = {
        "type": "object",
        "properties": {"sky": {"type": "string"}},
        "required": ["sky"],
        "additionalProperties": False,
    }
    output = {"format": {"type": "json_schema", "schema": schema}}
    cached = [{"type": "text", "text": "Rules. " * 99, "cache_control": {"type": "ephemeral"}}]
    requests = [
        BatchRequest("tool", "[[tool_use]] Look.", params={"tools": [tool]}),
        BatchRequest("schema", "Describe the sky.", params={"output_config": output}),
        BatchRequest("cut", "[[words 500]]", max_tokens=10),
        BatchRequest("refused", "[[refuse]]"),
        BatchRequest("cached", "Hello.", system=cached),
        BatchRequest(
            "image",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {
                            "type": "image",
                            "source": {
                                "type": "base64",
                                "media_type": "image/png",
                                "data": "iVBORw0KGgo=",
                            },
                        },
                    ],
                }
            ],
        ),
    ]
    batch_id = await client.submit(requests)
    anthropic_emulator.advance(60)

    results = await client.results(batch_id, custom_ids=[r.custom_id for r in requests])
    tool_use, structured, cut, refused, system, image = results

    assert all(result.succeeded and result.cost_usd > 0 for result in results)
    assert tool_use.stop_reason == "tool_use"
    assert tool_use.message["content"][-1]["name"] == "look"
    assert list(orjson.loads(structured.output)) == ["sky"]
    assert (cut.truncated, cut.stop_reason) == (True, "max_tokens")
    assert (refused.refused, refused.output) == (True, "")
    assert system.usage["cache_creation_input_tokens"] > 0
    assert system.tokens == sum(
        system.usage[f"{name}_tokens"]
        for name in ("input", "output", "cache_creation_input", "cache_read_input")
    )
    assert image.usage["input_tokens"] > 1000


@stepped
async def test_an_unknown_model_is_an_errored_row_and_the_others_are_unharmed(
    client, anthropic_emulator
):
    requests = [*numbered(2), BatchRequest("odd", "Hello.", model="claude-of-tomorrow")]
    batch_id = await client.submit(requests)
    anthropic_emulator.advance(60)

    *good, bad = await client.results(batch_id, custom_ids=["row-0", "row-1", "odd"])

    assert all(result.succeeded for result in good)
    assert (bad.status, bad.error_type) == ("errored", "not_found_error")
    assert bad.error == "not_found_error: model: claude-of-tomorrow"
    assert bad.cost_usd == 0


@stepped
async def test_the_results_of_a_batch_that_has_not_ended_are_an_error(client, anthropic_emulator):
    batch_id = await client.submit(numbered(1))
    with pytest.raises(BatchNotEndedError, match=r"still in progress.* Call `wait` first") as early:
        await client.results(batch_id)
    assert early.value.batch_id == batch_id


@stepped
async def test_results_are_gone_after_29_days(client, anthropic_emulator):
    batch_id = await client.submit(numbered(1))
    anthropic_emulator.advance(29 * DAY - 1)
    assert len(await client.results(batch_id)) == 1
    anthropic_emulator.advance(1)

    assert (await client.status(batch_id)).archived_at is not None
    with pytest.raises(ResultsUnavailableError, match="29 days after the batch was created"):
        await client.results(batch_id)


@pytest.mark.parametrize("batch_id", ["msgbatch_0", "../../etc", "a b", "ä?x=1", ""])
@pytest.mark.parametrize("call", ["status", "results", "wait", "cancel"])
async def test_an_unknown_id_is_an_error_of_ours(client, call, batch_id):
    with pytest.raises(BatchNotFoundError) as unknown:
        await getattr(client, call)(batch_id)
    if batch_id:
        assert repr(batch_id) in str(unknown.value)
        assert "workspace" in str(unknown.value)


@pytest.mark.anthropic_emulator(
    clock="stepped", workspaces={"sk-ant-one": "one", "sk-ant-two": "two"}
)
async def test_the_batch_of_another_workspace_is_not_found(anthropic_emulator):
    async with AnthropicBatchClient("sk-ant-one") as one, AnthropicBatchClient("sk-ant-two") as two:
        batch_id = await one.submit(numbered(1))
        with pytest.raises(BatchNotFoundError, match="the key belongs to the workspace"):
            await two.status(batch_id)
        assert (await one.list(), await two.list()) == ([await one.status(batch_id)], [])


@stepped
async def test_a_wait_that_times_out_does_not_cancel(client, anthropic_emulator):
    batch_id = await client.submit(numbered(1))

    with pytest.raises(BatchWaitTimeoutError, match=r"passed\. It was not cancelled") as late:
        await client.wait(batch_id, poll_interval=0.05, timeout=0.2)

    assert late.value.batch_id == batch_id
    assert (await client.status(batch_id)).status == "in_progress"
    anthropic_emulator.advance(60)
    assert (await client.wait(batch_id, timeout=0)).is_complete


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
async def test_a_wait_needs_an_interval(client, interval):
    with pytest.raises(InvalidRequestError, match="poll_interval: must be more than 0"):
        await client.wait("msgbatch_1", poll_interval=interval)


@pytest.mark.anthropic_emulator(clock="stepped", batch_seconds=100, cancel_seconds=10)
async def test_a_cancelled_batch_keeps_what_was_done_and_says_so(client, anthropic_emulator):
    batch_id = await client.submit(numbered(4))
    anthropic_emulator.advance(50)

    assert await client.cancel(batch_id) is True
    assert (await client.status(batch_id)).status == "canceling"
    assert await client.cancel(batch_id) is True, "twice is fine"
    anthropic_emulator.advance(10)

    job = await client.status(batch_id)
    assert (job.status, job.is_complete) == ("canceled", True)
    assert (job.request_counts["succeeded"], job.request_counts["canceled"]) == (2, 2)
    results = await client.results(batch_id)
    assert sorted(result.status for result in results) == ["canceled"] * 2 + ["succeeded"] * 2
    assert await client.cancel(batch_id) is False


@stepped
async def test_a_cancellation_that_came_too_late_is_an_ended_batch(scripted, anthropic_emulator):
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        batch_id = await client.submit(numbered(1))
        await client.cancel(batch_id)
        anthropic_emulator.advance(60)
        assert (await client.status(batch_id)).status == "canceled"
        async with httpx.AsyncClient(base_url=anthropic_emulator.base_url) as plain:
            answer = await plain.get(
                f"/v1/messages/batches/{batch_id}",
                headers={"x-api-key": "key", "anthropic-version": "2026-10-21"},
            )
        batch = answer.json()
        batch["request_counts"] |= {"succeeded": 1, "canceled": 0}
        scripted.script = lambda _call: Answer(200, orjson.dumps(batch))

        job = await client.status(batch_id)

    assert job.cancel_initiated_at is not None
    assert (job.status, job.is_complete) == ("ended", True)


@stepped
async def test_cancelling_an_ended_batch_is_false(client, anthropic_emulator):
    batch_id = await client.submit(numbered(1))
    anthropic_emulator.advance(60)

    assert await client.cancel(batch_id) is False
    assert (await client.status(batch_id)).status == "ended"


@stepped
async def test_a_batch_that_ends_between_the_two_calls_of_cancel_is_false(
    scripted, anthropic_emulator
):
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        batch_id = await client.submit(numbered(1))
        cancel = f"{CREATE}/{batch_id}/cancel"

        def end_first(call: str) -> None:
            if call == cancel:
                anthropic_emulator.end(batch_id)

        scripted.script = end_first
        assert await client.cancel(batch_id) is False
        assert scripted.count(cancel) == 1


@pytest.mark.anthropic_emulator(clock="stepped", batch_seconds=2 * DAY)
async def test_requests_that_were_not_processed_in_a_day_are_expired(client, anthropic_emulator):
    batch_id = await client.submit(numbered(4))
    anthropic_emulator.advance(DAY)

    results = await client.results(batch_id, custom_ids=[f"row-{n}" for n in range(4)])

    assert sorted(result.status for result in results) == ["expired"] * 2 + ["succeeded"] * 2
    assert (await client.status(batch_id)).status == "ended"


async def test_the_list_has_the_newest_first_and_no_more_than_asked_for(client):
    ids = [await client.submit(numbered(1)) for _ in range(5)]

    assert [job.batch_id for job in await client.list()] == ids[::-1]
    assert [job.batch_id for job in await client.list(2)] == ids[:2:-1]
    assert len(await client.list(limit=5000)) == 5
    with pytest.raises(InvalidRequestError, match="limit: must be at least 1, got 0"):
        await client.list(0)


@pytest.mark.parametrize("address", ["127.0.0.1:8484", "nope", "", "ftp://x/", "http://"])
@pytest.mark.parametrize("call", ["submit", "list", "connect"])
async def test_an_address_that_is_none_is_refused_before_anything_is_sent(address, call):
    """There can be no batch, and asking again would not help."""
    arguments = {"submit": [numbered(1)]}.get(call, [])
    async with AnthropicBatchClient("sk-ant-any", base_url=address) as client:
        with pytest.raises(InvalidRequestError, match=r"ANTHROPIC_BASE_URL.*https://"):
            await getattr(client, call)(*arguments)


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"timeout": -1}, {"timeout": "5"}, {"max_retries": -1}]
)
def test_terms_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InvalidRequestError, match=f"{next(iter(wrong))}: must be"):
        AnthropicBatchClient(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"poll_interval": 0},
        {"poll_interval": "30"},
        {"timeout": "60"},
        {"timeout": ""},
        {"timeout": -1},
    ],
)
async def test_times_that_cannot_be_waited_for_are_refused_before_anything_is_paid_for(
    client, anthropic_emulator, wrong
):
    for call in (client.run(numbered(1), **wrong), client.wait("msgbatch_1", **wrong)):
        with pytest.raises(InvalidRequestError, match=f"{next(iter(wrong))}: must be"):
            await call
    assert anthropic_emulator.calls() == []


@quick
async def test_a_run_without_a_timeout_ends_with_the_batch(client):
    (result,) = await client.run(numbered(1), poll_interval=0.05, timeout=None)
    assert result.succeeded


async def test_a_wait_without_a_timeout_ends_with_the_batch(client, anthropic_emulator):
    batch_id = await client.submit(numbered(1))
    anthropic_emulator.advance(60)
    assert (await client.wait(batch_id, 0.05, timeout=None)).status == "ended"


@pytest.mark.parametrize(
    ("requests", "got"),
    [
        (None, "requests: expected a list of BatchRequest, got NoneType"),
        (
            BatchRequest("a", "Hello."),
            "requests: expected a list of BatchRequest, got BatchRequest",
        ),
        ("Hello.", "requests: expected a list of BatchRequest, got str"),
        ({"a": "Hello."}, "requests: expected a list of BatchRequest, got dict"),
        (["Hello."], "Request 0: expected a BatchRequest, got str"),
    ],
)
async def test_what_is_no_list_of_requests_is_refused(client, anthropic_emulator, requests, got):
    for send in (client.submit, client.run):
        with pytest.raises(InvalidRequestError, match=got):
            await send(requests)
    assert anthropic_emulator.calls() == []


@quick
async def test_requests_may_come_from_anything_that_yields_them(client):
    results = await client.run(iter(numbered(3)), poll_interval=0.05)

    assert [result.custom_id for result in results] == ["row-0", "row-1", "row-2"]


async def test_a_text_in_the_place_of_ids_or_of_a_number_is_refused(client, anthropic_emulator):
    with pytest.raises(InvalidRequestError, match="ids: expected a list of ids, got 'row-0'"):
        await client.results("msgbatch_any", custom_ids="row-0")
    with pytest.raises(InvalidRequestError, match="limit: must be at least 1, got '2'"):
        await client.list(limit="2")
    assert anthropic_emulator.calls() == []
