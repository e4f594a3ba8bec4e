"""A server on loopback that speaks ``vllm serve``'s protocol, with faults as scripted.

It looks at no clip: a caption is ``caption of <question>``. The probe that an engine starts with is
answered with the tokens that a real server was seen to make of it; everything else by the script.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.judge_server import Act
from ugc_models.engine.interleave import Clock, Grid, token_order

PICTURE, SOUND = 447, 437
GIANT = Act(body=b" " * (20 << 20))
RESET = Act(status=0)

Script = Callable[[int], Act | None]
"""From the number of a request, the probe not counted, to what is done; None answers it."""


def completion(text: str, prompt_ids: list[int] | None = None) -> Act:
    """Answer with a chat completion as vLLM writes it."""
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
        "token_ids": [5, 6, 7],
    }
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    reply = {"choices": [choice], "usage": usage, "prompt_token_ids": prompt_ids}
    return Act(body=json.dumps(reply).encode())


def probed(order: list[bool] | None = None) -> Act:
    """Answer the probe, with the corrected token order or another."""
    order = order or token_order(Grid(2, 8, 8), 400, 8.0, Clock())
    return completion("", [1, 2, 3, *(PICTURE if picture else SOUND for picture in order), 4])


class FakeVllm:
    """The server; ``asked`` holds the questions that came, ``most_at_once`` how many were open."""

    def __init__(
        self,
        script: Script = lambda _: None,
        *,
        model: str = "tiny",
        version: str = "0.32.0",
        probe: Act | None = None,
        pages: dict[str, Act] | None = None,
        port: int = 0,
    ) -> None:
        card = {"id": model, "root": "/models/tiny-omni", "max_model_len": 8192}
        self.pages = {
            "/v1/models": Act(body=json.dumps({"object": "list", "data": [card]}).encode()),
            "/version": Act(body=json.dumps({"version": version}).encode()),
        } | (pages or {})
        self.script = script
        self.probe = probe or probed()
        self.probes = 0
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def wait_for(self, count: int, timeout: float = 120.0) -> None:
        """Return when so many requests have come."""
        give_up = time.monotonic() + timeout
        while len(self.asked) < count:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{len(self.asked)} of {count} requests came in {timeout} s")
            time.sleep(0.005)

    def crash(self) -> None:
        """Break every connection, as a process that ends does; the next one is welcome."""
        self._server.hang_up()

    def __enter__(self) -> FakeVllm:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def hang_up(self) -> None:
        """Close what clients keep open, as the end of a process does."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that gave up: the tests make them."""


def _handler(fake: FakeVllm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            with fake.lock:
                fake.headers.append({k.title(): v for k, v in self.headers.items()})
            self._do(fake.pages.get(self.path, Act(404, b'{"detail": "Not Found"}')))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            question = body["messages"][-1]["content"][-1]["text"]
            with fake.lock:
                fake.headers.append({k.title(): v for k, v in self.headers.items()})
                if question == "?":
                    fake.probes += 1
                    number = -1
                else:
                    number = len(fake.asked)
                    fake.asked.append(question)
                    fake.bodies.append(body)
                    fake.at_once += 1
                    fake.most_at_once = max(fake.most_at_once, fake.at_once)
            if number < 0:
                self._do(fake.probe)
                return
            act = fake.script(number) or completion(f"caption of {question}")
            fake.closing.wait(act.delay)
            with fake.lock:
                fake.at_once -= 1
            self._do(act)

        def _do(self, act: Act) -> None:
            if act is RESET:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return
            if act.body is None:
                fake.closing.wait()
                self.close_connection = True
                return
            self.send_response(act.status)
            for name, value in act.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(act.body)))
            self.end_headers()
            self.wfile.write(act.body[: act.cut])
            self.close_connection = act.cut is not None

        def log_message(self, format: str, *args: Any) -> None:
            """Keep stderr for the tests."""

    return Handler
