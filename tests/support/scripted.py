"""An HTTP server that answers what a test tells it to, and passes on the rest to an emulator."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CREATE = "POST /v1/messages/batches"


@dataclass(frozen=True)
class Answer:
    """What goes over the wire."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lacks: int = 0
    """How many of the bytes that the answer announces are never sent: it is cut there."""
    zipped: bytes = b""
    """The body as gzip, where there is one for callers who take it."""


DROPPED = Answer(status=0)
"""No answer at all: the connection is closed."""


def problem(status: int, kind: str, message: str, **headers: str) -> Answer:
    """Return an error as the API words it."""
    error = {"type": kind, "message": message}
    body = json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()
    return Answer(status, body, {**headers, "request-id": "req_1"})


@dataclass
class ScriptedApi:
    """A running server: where it is, what it was asked, and what it answers."""

    upstream: str
    base_url: str = ""
    calls: list[str] = field(default_factory=list)
    """Method and path of every call, oldest first."""
    script: Callable[[str], Answer | None] = lambda _call: None
    """Called with method and path; None passes the call on."""
    after: Callable[[str], Answer | None] = lambda _call: None
    """The same, after the call has been passed on: what comes back instead of the true answer."""
    cut_off: int = 0
    """How many create calls are still to be cut off before their bodies have been read."""
    change: Callable[[str, Answer], Answer] = lambda _call, answer: answer
    """Called with method and path and the true answer: what comes back in its place."""

    def count(self, call: str) -> int:
        """Return how often this was asked."""
        return self.calls.count(call)


@contextmanager
def scripted_api(upstream: str) -> Iterator[ScriptedApi]:
    """Run a server in a thread while the block runs."""
    api = ScriptedApi(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._take()

        def do_POST(self) -> None:
            self._take()

        def do_PATCH(self) -> None:
            self._take()

        def do_DELETE(self) -> None:
            self._take()

        def _take(self) -> None:
            call = f"{self.command} {self.path}"
            api.calls.append(call)
            if call == CREATE and api.cut_off:
                api.cut_off -= 1
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = api.script(call)
            if answer is None:
                passed_on = self._pass_on(body)
                answer = api.after(call) or api.change(call, passed_on)
            if answer is DROPPED:
                self.close_connection = True
                return
            headers, sent = dict(answer.headers), answer.body
            if answer.zipped and "gzip" in self.headers.get("accept-encoding", ""):
                headers["content-encoding"], sent = "gzip", answer.zipped
            self.send_response_only(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(sent) + answer.lacks))
            self.end_headers()
            self.wfile.write(sent)
            self.close_connection = bool(answer.lacks)

        def _pass_on(self, body: bytes) -> Answer:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("host", "content-length", "accept-encoding", "connection")
            }
            request = urllib.request.Request(
                api.upstream + self.path, method=self.command, data=body or None, headers=headers
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return Answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    return Answer(error.code, error.read())

        def log_message(self, *_: object) -> None:
            """Say nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.base_url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
