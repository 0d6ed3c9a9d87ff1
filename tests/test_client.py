"""The client against the API on the wire: the emulator, and a server that fails as told."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import orjson
import pytest

from meshflow_prefect import (
    AnthropicBatchClient,
    ApiUnavailableError,
    BatchNotEndedError,
    BatchNotFoundError,
    BatchRequest,
    BatchWaitTimeoutError,
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    RateLimitedError,
    ResultsUnavailableError,
    SubmissionRefusedError,
    SubmissionUnknownError,
    total_cost,
)
from meshflow_prefect.emulator import Emulator
from tests.support.scripted import CREATE, DROPPED, Answer, ScriptedApi, problem, scripted_api

DAY = 86_400
stepped = pytest.mark.anthropic_emulator(clock="stepped", batch_seconds=60, cancel_seconds=10)
quick = pytest.mark.anthropic_emulator(batch_seconds=0.2)


def numbered(count: int, **fields: object) -> list[BatchRequest]:
    return [BatchRequest(f"row-{n}", f"Name the number {n}.", **fields) for n in range(count)]


@pytest.fixture
async def client(anthropic_emulator: Emulator):
    async with AnthropicBatchClient() as client:
        yield client


@pytest.fixture
def scripted(anthropic_emulator: Emulator) -> Iterator[ScriptedApi]:
    """A server in front of the emulator, that can fail."""
    with scripted_api(anthropic_emulator.base_url) as api:
        yield api


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

    with pytest.raises(BatchWaitTimeoutError, match=r"after 0.2 s\. It was not cancelled") as late:
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


@pytest.mark.parametrize("call", ["submit", "status", "results", "cancel", "list"])
async def test_a_wrong_key_is_named_as_the_cause(anthropic_emulator, call):
    argument = {"submit": [numbered(1)], "list": []}.get(call, ["msgbatch_1"])
    async with AnthropicBatchClient("sk-ant-invalid-key") as client:
        with pytest.raises(
            CredentialsError, match=r"refused the key.*ANTHROPIC_API_KEY"
        ) as refused:
            await getattr(client, call)(*argument)
    assert refused.value.status_code == 401
    assert refused.value.request_id.startswith("req_")
    assert anthropic_emulator.batches() == []


async def test_no_key_at_all_says_what_to_do(anthropic_emulator, monkeypatch, tmp_path):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for call in ("status", "submit"):
        async with AnthropicBatchClient() as client:
            with pytest.raises(CredentialsError, match=r"ANTHROPIC_API_KEY.*AnthropicCredentials"):
                await getattr(client, call)(numbered(1) if call == "submit" else "msgbatch_1")


@pytest.mark.anthropic_emulator(api_keys=("sk-ant-of-the-argument",))
async def test_an_argument_wins_over_the_environment(anthropic_emulator, monkeypatch):
    url = anthropic_emulator.base_url
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")

    async with AnthropicBatchClient("sk-ant-of-the-argument", base_url=url) as client:
        assert await client.list() == []
    async with AnthropicBatchClient(base_url=url) as client:
        with pytest.raises(CredentialsError):
            await client.list()


async def test_the_environment_may_hold_a_token_instead_of_a_key(anthropic_emulator, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    async with AnthropicBatchClient() as client:
        assert await client.list() == []


async def test_a_client_can_be_closed_early_twice_and_used_again(anthropic_emulator):
    client = AnthropicBatchClient()
    await client.aclose()
    assert await client.list() == []
    await client.aclose()
    await client.aclose()
    async with client:
        assert await client.list() == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (DROPPED, "Connection error"),
        (problem(500, "api_error", "Internal server error"), "500 api_error: Internal"),
        (problem(504, "timeout_error", "Too late"), "504 timeout_error: Too late"),
        (Answer(502, b"<html>Bad gateway</html>"), "502"),
    ],
)
@stepped
async def test_a_create_whose_answer_is_lost_is_sent_once_and_reported_as_unknown(
    scripted, anthropic_emulator, fault, said
):
    """The emulator has accepted the batch: a second create would be a second bill."""
    scripted.after = lambda call: fault if call == CREATE else None
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(SubmissionUnknownError, match="there may be a batch") as lost:
            await client.submit(numbered(3))

    assert said in str(lost.value)
    assert scripted.count(CREATE) == 1
    assert [batch["requests"] for batch in anthropic_emulator.batches()] == [3]
    assert not isinstance(lost.value, SubmissionRefusedError)


@pytest.mark.parametrize(
    ("fault", "kind", "status", "retry_after"),
    [
        (
            problem(429, "rate_limit_error", "Slow", **{"retry-after": "7"}),
            RateLimitedError,
            429,
            7,
        ),
        (problem(429, "rate_limit_error", "Spend limit"), RateLimitedError, 429, None),
        (problem(529, "overloaded_error", "Overloaded"), RateLimitedError, 529, None),
        (problem(400, "invalid_request_error", "Bad"), SubmissionRefusedError, 400, None),
        (problem(402, "billing_error", "Pay"), SubmissionRefusedError, 402, None),
        (problem(413, "request_too_large", "Too big"), SubmissionRefusedError, 413, None),
        (problem(401, "authentication_error", "invalid x"), CredentialsError, 401, None),
        (problem(403, "permission_error", "Not yours"), CredentialsError, 403, None),
    ],
)
async def test_a_create_that_was_refused_is_sent_once_and_says_so(
    scripted, fault, kind, status, retry_after
):
    scripted.script = lambda call: fault if call == CREATE else None
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(kind) as refused:
            await client.submit(numbered(1))

    assert type(refused.value) is kind
    assert refused.value.status_code == status
    assert refused.value.retry_after == retry_after
    assert refused.value.request_id == "req_1"
    assert scripted.count(CREATE) == 1
    if kind is not CredentialsError:
        assert str(refused.value).startswith("No batch was made: ")


async def test_a_create_that_reached_nobody_made_no_batch():
    async with AnthropicBatchClient("key", base_url="http://127.0.0.1:1") as client:
        with pytest.raises(SubmissionRefusedError, match=r"No batch was made: .*connect"):
            await client.submit(numbered(1))


async def test_passing_faults_of_other_calls_are_repeated(scripted):
    faults = [DROPPED, problem(500, "api_error", "Oops")]
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        batch_id = await client.submit(numbered(1))
        scripted.script = lambda _call: faults.pop() if faults else None

        assert (await client.status(batch_id)).batch_id == batch_id

    assert scripted.count(f"GET /v1/messages/batches/{batch_id}") == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (problem(500, "api_error", "Oops"), ApiUnavailableError),
        (problem(529, "overloaded_error", "Oops"), ApiUnavailableError),
        (problem(429, "rate_limit_error", "Oops", **{"retry-after": "3"}), ApiUnavailableError),
        (DROPPED, ApiUnavailableError),
        (problem(400, "invalid_request_error", "Oops"), MeshflowError),
    ],
)
async def test_could_not_ask_is_not_the_same_as_will_never_work(scripted, fault, kind):
    scripted.script = lambda _call: fault
    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        with pytest.raises(MeshflowError, match=r"^Batch 'msgbatch_1': ") as failed:
            await client.status("msgbatch_1")
        with pytest.raises(kind, match=r"^The list of batches: "):
            await client.list()
    assert type(failed.value) is kind
    assert failed.value.batch_id == "msgbatch_1"


@quick
async def test_passing_faults_do_not_end_a_wait(scripted, anthropic_emulator):
    faults = [DROPPED] * 3
    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        batch_id = await client.submit(numbered(1))
        scripted.script = lambda _call: faults.pop() if faults else None
        job = await client.wait(batch_id, poll_interval=0.05)
    assert job.is_complete
    assert faults == []


async def test_a_wait_without_an_answer_times_out_and_says_why(scripted):
    scripted.script = lambda _call: DROPPED
    async with AnthropicBatchClient(base_url=scripted.base_url, max_retries=0) as client:
        with pytest.raises(BatchWaitTimeoutError, match=r"No answer within 0.1 s: .*could not ask"):
            await client.wait("msgbatch_1", poll_interval=0.05, timeout=0.1)


@stepped
async def test_a_stream_of_results_that_is_cut_is_an_error_and_never_a_shorter_list(
    scripted, anthropic_emulator
):
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        batch_id = await client.submit(numbered(3))
        anthropic_emulator.advance(60)
        whole = [line async for line in client.iter_rows(batch_id)]
        cut = Answer(200, whole[0] + b"\n" + whole[1] + b"\n", lacks=len(whole[2]))
        scripted.script = lambda call: cut if call.endswith("/results") else None

        rows = client.iter_results(batch_id)
        assert [(await anext(rows)).succeeded for _ in range(2)] == [True, True]
        with pytest.raises(ApiUnavailableError, match="stream of results was cut") as failed:
            await anext(rows)

        assert failed.value.batch_id == batch_id
        scripted.script = lambda _call: None
        assert len(await client.results(batch_id)) == 3, "it can be read again"


@stepped
async def test_rows_are_split_at_line_ends_and_nowhere_else(scripted, anthropic_emulator):
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        batch_id = await client.submit(numbered(1))
        anthropic_emulator.advance(60)
        rows = [
            {"custom_id": name, "result": {"type": "succeeded", "message": {"content": [block]}}}
            for name, block in (
                ("a", {"type": "text", "text": "one\u2028two\u0085three"}),
                ("b", {"type": "text", "text": "\r\n in a text"}),
            )
        ]
        body = b"\r\n\n".join(orjson.dumps(row) for row in rows)  # and no line end at the end
        scripted.script = lambda call: Answer(200, body) if call.endswith("/results") else None

        results = await client.results(batch_id)

    assert [result.output for result in results] == ["one\u2028two\u0085three", "\r\n in a text"]


@stepped
async def test_a_reader_may_stop_early(client, anthropic_emulator):
    batch_id = await client.submit(numbered(50))
    anthropic_emulator.advance(60)

    rows = client.iter_results(batch_id)
    assert (await anext(rows)).succeeded
    await rows.aclose()

    assert len(await client.results(batch_id)) == 50


async def test_a_bad_list_of_requests_is_refused_before_anything_is_sent(
    client, anthropic_emulator
):
    with pytest.raises(InvalidRequestError, match="empty"):
        await client.submit([])
    with pytest.raises(InvalidRequestError, match="occurs twice"):
        await client.run([BatchRequest("a", "x"), BatchRequest("a", "y")])
    assert anthropic_emulator.calls() == []


async def test_the_key_goes_to_the_configured_host_only(scripted, anthropic_emulator):
    """The `results_url` of a batch names the emulator; the client asks where it was told to."""
    anthropic_emulator.reset()
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        batch_id = await client.submit(numbered(1))
        anthropic_emulator.end(batch_id)
        await client.results(batch_id)
    assert len(scripted.calls) == len(anthropic_emulator.calls())
