"""A judge on loopback: the chat-completions protocol over a real socket, with faults as scripted.

::

    with JudgeServer(script=lambda asked: status(500) if asked.seen == 0 else scores()) as server:
        ...  # OPENAI_BASE_URL=server.base_url

A script is a function from the request to what is done with it, or a sequence of such acts, one a
request, of which the last goes on for ever.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; ``seen`` is how often this very body had come before."""

    number: int
    raw: bytes
    body: dict[str, Any]
    authorization: str
    path: str
    seen: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """Return the user message."""
        return str(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Act:
    """What to do with a request: wait ``delay`` seconds, send ``body``, cut it at ``cut`` bytes.

    A ``body`` of None keeps the connection open and silent until the server closes.
    """

    status: int = 200
    body: bytes | None = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None


Script = Callable[[Asked], Act] | Sequence[Act]


def text(content: str, *, delay: float = 0.0) -> Act:
    """Answer with a chat completion that says ``content``."""
    return Act(body=json.dumps(completion(content)).encode(), delay=delay)


def completion(content: Any, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Return a chat completion with this content, and whatever else its message has."""
    return {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "loopback-judge-1",
        "system_fingerprint": "fp_loopback",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
        "usage": {"prompt_tokens": 700, "completion_tokens": 18, "total_tokens": 718},
    }


def body(value: Any, code: int = 200) -> Act:
    """Answer with ``value`` as JSON."""
    return Act(code, json.dumps(value).encode())


def scores(visual: int = 4, audio: int = 3, details: int = 4, *, delay: float = 0.0) -> Act:
    """Answer with scores, written as the published prompt asks for them."""
    return text(f"{{'visual': {visual}, 'audio': {audio}, 'details': {details}}}", delay=delay)


def status(
    code: int,
    message: str = "scripted failure",
    *,
    error_code: str = "",
    param: str = "",
    headers: Mapping[str, str] | None = None,
) -> Act:
    """Answer with an error in OpenAI's form."""
    error = {
        "message": message,
        "type": "error",
        "code": error_code or None,
        "param": param or None,
    }
    return Act(code, json.dumps({"error": error}).encode(), headers or {})


def too_many(retry_after: str = "0") -> Act:
    """Answer 429 and say when to come back."""
    return status(429, "slow down", error_code="rate_limit_exceeded",
                  headers={"Retry-After": retry_after})  # fmt: skip


def no_quota() -> Act:
    """Answer 429 as OpenAI does when the account is empty."""
    return status(429, "You exceeded your current quota", error_code="insufficient_quota")


def together(count: int, act: Act) -> Callable[[Asked], Act]:
    """Answer none of the first ``count`` requests before all of them have come.

    Where fewer are ever open at once, none is answered: the client times out.
    """
    all_there = threading.Barrier(count)

    def script(asked: Asked) -> Act:
        if asked.number < count:
            all_there.wait(120)
        return act

    return script


def hang() -> Act:
    """Accept the request and never answer."""
    return Act(body=None)


def cut_off() -> Act:
    """Promise a whole answer and close the connection in its middle."""
    whole = scores()
    return Act(body=whole.body, cut=40)


def junk() -> Act:
    """Answer 200 with bytes that are no JSON."""
    return Act(body=b"\x00\xff<html>bad gateway</html>\x80")


class JudgeServer:
    """The server: ``requests`` came, ``at_once`` are open, ``most_at_once`` were at most."""

    def __init__(
        self, script: Script | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen on a port of the loopback address, a free one if none is given."""
        self.requests: list[Asked] = []
        self.most_at_once = 0
        self.script: Script = script or (lambda _: scores())
        self.models: dict[str, Any] = {}  # what is told of a model, by its name
        self.asked_about: list[str] = []  # models, one a request for what is told of them
        self.at_once = 0
        self._seen: Counter[bytes] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def base_url(self) -> str:
        """Return the value for OPENAI_BASE_URL."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def address(self) -> str:
        """Return where it listens, without a path."""
        return self.base_url.removesuffix("/v1")

    def wait_for(self, count: int, timeout: float = 120.0) -> None:
        """Return when at least ``count`` requests have come."""
        give_up = time.monotonic() + timeout
        while len(self.requests) < count:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{len(self.requests)} of {count} requests came in {timeout} s")
            time.sleep(0.005)

    def __enter__(self) -> JudgeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _arrived(self, raw: bytes, headers: Mapping[str, str], path: str) -> Asked:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            asked = Asked(
                number=len(self.requests),
                raw=raw,
                body=json.loads(raw),
                authorization=headers.get("authorization", ""),
                path=path,
                seen=self._seen[raw],
                headers=headers,
            )
            self._seen[raw] += 1
            self.requests.append(asked)
        return asked

    def _act_on(self, asked: Asked) -> Act:
        if callable(self.script):
            return self.script(asked)
        return self.script[min(asked.number, len(self.script) - 1)]

    def _answered(self) -> None:
        with self._lock:
            self.at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed or gave up: the tests do both on purpose."""


def _handler(judge: JudgeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            name = unquote(self.path.rpartition("/models/")[2])
            judge.asked_about.append(name)
            told = judge.models.get(name)
            content = json.dumps(told or {"error": {"message": f"no {name}"}}).encode()
            self.send_response(404 if told is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            raw = self.rfile.read(length)
            if len(raw) < length:  # the client was killed while it sent this
                self.close_connection = True
                return
            asked = judge._arrived(
                raw, {name.lower(): value for name, value in self.headers.items()}, self.path
            )
            try:
                act = judge._act_on(asked)
                judge._closing.wait(act.delay)
                if act.body is None:
                    judge._closing.wait()
                    self.close_connection = True
                    return
            finally:
                judge._answered()  # before the answer: the client may send its next at once
            self.send_response(act.status)
            for name, value in act.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(act.body)))
            self.end_headers()
            self.wfile.write(act.body[: act.cut])
            if act.cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Keep stderr for the tests."""

    return Handler
