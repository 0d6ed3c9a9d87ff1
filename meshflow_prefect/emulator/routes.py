"""The endpoints of the API."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from meshflow_prefect.emulator.batches import Batch
from meshflow_prefect.emulator.emulation import Emulation
from meshflow_prefect.emulator.paging import page_of
from meshflow_prefect.emulator.replies import reply_to
from meshflow_prefect.emulator.tokens import count_tokens
from meshflow_prefect.emulator.validation import Problem, Rules, is_version, problem_of
from meshflow_prefect.emulator.wire import ApiError, json_response, new_id, presented_key

_LARGEST_MESSAGE = 32 * 1024 * 1024


class Api:
    """The Messages and Message Batches endpoints of one emulation."""

    def __init__(self, emulation: Emulation) -> None:
        self._emulation = emulation

    def routes(self) -> list[Route]:
        """Return the paths of the API."""
        batches = "/v1/messages/batches"
        return [
            Route("/v1/messages", self.message, methods=["POST"]),
            Route("/v1/messages/count_tokens", self.count_tokens, methods=["POST"]),
            Route(batches, self.create, methods=["POST"]),
            Route(batches, self.list, methods=["GET"]),
            Route(batches + "/{id}", self.retrieve, methods=["GET"]),
            Route(batches + "/{id}", self.delete, methods=["DELETE"]),
            Route(batches + "/{id}/results", self.results, methods=["GET"]),
            Route(batches + "/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """`POST /v1/messages/batches`."""
        try:
            caller = self._admit(request)
        except ApiError:
            # A client that is still sending a large body would see a broken connection instead.
            async for _ in request.stream():
                pass
            raise
        batch = await self._emulation.create(
            request.stream(),
            workspace=caller.workspace,
            version=caller.version,
            betas=caller.betas,
        )
        return json_response(self._shown(batch, request))

    async def retrieve(self, request: Request) -> Response:
        """`GET /v1/messages/batches/{id}`."""
        batch = self._find(request)
        retry_after = self._emulation.settings.retry_after
        waiting = batch.status(self._emulation.clock.now()) != "ended"
        headers = {"retry-after": str(retry_after)} if waiting and retry_after is not None else {}
        return json_response(self._shown(batch, request), headers=headers)

    async def list(self, request: Request) -> Response:
        """`GET /v1/messages/batches`."""
        workspace = self._admit(request).workspace
        page = page_of(self._emulation.newest_first(workspace=workspace), request.query_params)
        data = [self._shown(batch, request) for batch in page.batches]
        return json_response(
            {
                "data": data,
                "has_more": page.has_more,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
            }
        )

    async def results(self, request: Request) -> Response:
        """`GET /v1/messages/batches/{id}/results`."""
        lines = self._emulation.results(self._find(request))
        return StreamingResponse(lines, media_type="application/x-jsonl")

    async def cancel(self, request: Request) -> Response:
        """`POST /v1/messages/batches/{id}/cancel`."""
        batch = self._find(request)
        self._emulation.cancel(batch)
        return json_response(self._shown(batch, request))

    async def delete(self, request: Request) -> Response:
        """`DELETE /v1/messages/batches/{id}`."""
        batch = self._find(request)
        self._emulation.delete(batch)
        return json_response({"id": batch.id, "type": "message_batch_deleted"})

    async def message(self, request: Request) -> Response:
        """`POST /v1/messages`, without streaming."""
        caller = self._admit(request)
        params = await _params(request)
        if params.get("stream"):
            raise ApiError(
                "invalid_request_error", "stream: the emulator answers without streaming only"
            )
        rules = self._rules(caller)
        problem = problem_of(params, rules)
        if problem is not None:
            raise ApiError(problem.kind, problem.message)
        cached = self._emulation.look_up_in_cache(params, workspace=caller.workspace)
        reply = reply_to(
            params,
            unique=new_id(""),
            cached=cached,
            service_tier="standard",
            words_wanted=self._emulation.settings.reply_words,
        )
        if isinstance(reply, Problem):
            raise ApiError(reply.kind, reply.message)
        return json_response(reply)

    async def count_tokens(self, request: Request) -> Response:
        """`POST /v1/messages/count_tokens`."""
        caller = self._admit(request)
        params = await _params(request)
        problem = problem_of({"max_tokens": 1, **params}, self._rules(caller))
        if problem is not None:
            raise ApiError(problem.kind, problem.message)
        return json_response({"input_tokens": count_tokens(params)})

    def _rules(self, caller: _Caller) -> Rules:
        return Rules(
            caller.version,
            frozenset(caller.betas),
            self._emulation.settings.extra_models,
            in_batch=False,
        )

    def _admit(self, request: Request) -> _Caller:
        """Check what every call must have: a key and a version."""
        settings = self._emulation.settings
        self._emulation.calls.check_rate(self._emulation.clock.now(), settings.requests_per_minute)
        key, header = presented_key(request)
        if key is None:
            raise ApiError("authentication_error", "x-api-key header is required")
        if not settings.accepts(key):
            raise ApiError("authentication_error", f"invalid {header}")
        version = request.headers.get("anthropic-version")
        if not version:
            raise ApiError("invalid_request_error", "anthropic-version: header is required")
        if not is_version(version):
            raise ApiError(
                "invalid_request_error", f'anthropic-version: "{version}" is not a valid version'
            )
        names = request.headers.get("anthropic-beta", "").split(",")
        betas = [name.strip() for name in names if name.strip()]
        return _Caller(settings.workspace_of(key), version, betas)

    def _find(self, request: Request) -> Batch:
        workspace = self._admit(request).workspace
        return self._emulation.find(request.path_params["id"], workspace=workspace)

    def _shown(self, batch: Batch, request: Request) -> dict[str, Any]:
        return batch.as_message_batch(
            self._emulation.clock.now(),
            moving=self._emulation.settings.counts == "moving",
            # From the Host header: the SDK dials `results_url` as it stands.
            base_url=f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}",
        )


class _Caller:
    """Who asks, and under which rules."""

    def __init__(self, workspace: str, version: str, betas: list[str]) -> None:
        self.workspace = workspace
        self.version = version
        self.betas = betas


async def _params(request: Request) -> dict[str, Any]:
    """Return the body of a call that is about one message."""
    body = bytearray()
    async for piece in request.stream():
        if len(body) <= _LARGEST_MESSAGE:
            body += piece
    if len(body) > _LARGEST_MESSAGE:
        raise ApiError("request_too_large", "Request exceeds the maximum size")
    try:
        params = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise ApiError(
            "invalid_request_error", f"The request body is not valid JSON: {problem}"
        ) from None
    if not isinstance(params, dict):
        raise ApiError("invalid_request_error", "Input should be a valid dictionary")
    return params
