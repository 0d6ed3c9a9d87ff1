"""What the client does when the API fails."""

from __future__ import annotations

import asyncio

import pytest

from meshflow_prefect import (
    AnthropicBatchClient,
    ApiUnavailableError,
    BatchRequest,
    BatchWaitTimeoutError,
    CredentialsError,
    InvalidRequestError,
    MeshflowError,
    RateLimitedError,
    SubmissionRefusedError,
    SubmissionUnknownError,
)
from meshflow_prefect.chunking import make_chunk
from tests.support.jobs import numbered, quick, stepped
from tests.support.scripted import CREATE, DROPPED, Answer, problem


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


async def test_a_create_that_is_cut_off_amid_its_body_has_certainly_made_no_batch(
    scripted, anthropic_emulator
):
    """So do proxies that take no bodies of this size: they answer and close at once."""
    scripted.cut_off = 1
    large = [BatchRequest(f"row-{n}", "word " * 200_000) for n in range(10)]
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(SubmissionRefusedError, match="No batch was made") as refused:
            await client.submit(large)
        assert "max_bytes_per_batch" in str(refused.value)
        assert 0 < refused.value.sent_bytes < make_chunk(large).size
        assert anthropic_emulator.batches() == []
        await client.submit(large)
    assert scripted.calls == [CREATE, CREATE]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_create_is_not_sent_where_a_redirect_leads(scripted, anthropic_emulator, status):
    """Neither are its key and its prompts. As a GET it would be answered with a list."""
    there = {"location": f"{anthropic_emulator.base_url}/v1/messages/batches"}
    scripted.script = lambda _call: Answer(status, b"", there)
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(SubmissionRefusedError, match=f"{status}, a redirect") as refused:
            await client.submit(numbered(1))

    assert "ANTHROPIC_BASE_URL" in str(refused.value)
    assert scripted.calls == [CREATE]
    assert anthropic_emulator.batches() == []


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


async def test_a_create_that_a_firewall_forbids_is_refused_and_the_key_is_not_blamed(scripted):
    page = Answer(403, b"<html>Access denied</html>", {"content-type": "text/html"})
    scripted.script = lambda call: page if call == CREATE else None
    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(SubmissionRefusedError, match=r"No batch was made: 403: Access denied"):
            await client.submit(numbered(1))

    assert scripted.count(CREATE) == 1


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
        with pytest.raises(BatchWaitTimeoutError, match=r"No answer by 20.*: .*could not ask"):
            await client.wait("msgbatch_1", poll_interval=0.05, timeout=0.1)


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


@quick
async def test_a_count_of_tokens_that_holds_none_is_an_error_of_ours(scripted, anthropic_emulator):
    counted = Answer(200, b"{}", {"content-type": "application/json"})
    scripted.script = lambda call: counted if "count_tokens" in call else None

    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(MeshflowError, match=r"The count of tokens: .*holds no count"):
            await client.count_tokens({"model": "claude-opus-5", "messages": []})


@quick
async def test_of_the_page_of_a_proxy_its_words_are_quoted_in_one_line(
    scripted, anthropic_emulator
):
    style = b"<style>" + b"p { color: red }\n" * 500 + b"</style>"
    page = b"<html>" + style + b"<h1>Request\n  too large</h1>\n<p>nginx</p></html>"
    large = Answer(413, page, {"content-type": "text/html"})
    scripted.script = lambda call: large if call == CREATE else None

    async with AnthropicBatchClient(base_url=scripted.base_url) as client:
        with pytest.raises(SubmissionRefusedError) as told:
            await client.submit(numbered(3))

    assert str(told.value) == "No batch was made: 413: Request too large nginx."


@pytest.mark.parametrize("status", [401, 502])
async def test_a_key_that_an_answer_repeats_is_in_no_error(scripted, status):
    key = "key-of-a-gateway-42"
    page = f"<html>Request headers: x-api-key: {key}, others: sk-ant-api03-of-another</html>"
    answers = [
        problem(status, "api_error", f"I do not like Bearer {key}"),
        Answer(status, page.encode(), {"content-type": "text/html"}),
    ]
    scripted.script = lambda _call: answers.pop()

    async with AnthropicBatchClient(key, base_url=scripted.base_url, max_retries=0) as client:
        for call in (client.submit(numbered(1)), client.status("msgbatch_any")):
            with pytest.raises(MeshflowError, match=r"\*{8}") as told:
                await call
            assert key not in repr(told.value)
            assert "api03" not in str(told.value)


def test_a_password_in_the_address_is_not_shown():
    assert "secret" not in repr(AnthropicBatchClient("k", base_url="http://me:secret@host/v1"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3600"}, 3600),
        ({"retry-after-ms": "90000", "retry-after": "1"}, 90),
        ({"retry-after": "inf"}, 1e9),
    ],
)
async def test_a_long_retry_after_is_not_slept_through(anthropic_emulator, headers, seconds):
    """The process would be there for an hour, and hear of nothing."""
    anthropic_emulator.plan({"on": "retrieve", "status": 429, "headers": headers, "times": None})

    async with AnthropicBatchClient() as client, asyncio.timeout(20):
        with pytest.raises(ApiUnavailableError) as limited:
            await client.status("msgbatch_any")

    assert limited.value.retry_after == seconds
    assert anthropic_emulator.state()["calls"]["GET /v1/messages/batches/{id}"] == 1
