"""A judge on loopback that takes batches too: ``/v1/files`` and ``/v1/batches`` as OpenAI has them.

::

    with BatchServer(looks=2) as server:
        ...  # OPENAI_BASE_URL=server.base_url, UGC_JUDGE_MODE=batch
        server.batches, server.paid, server.requests

A batch is worked off after it was looked at ``looks`` times. What each of its lines is answered
with is the script's to say, as for single requests (``judge_server.py``): an answer with a status
other than 200 is a line in the error file. ``paid`` counts by body what was answered with 200,
either way.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.judge_server import Act, Asked, JudgeServer, Script


@dataclass
class Batch:
    """A batch as the server has it."""

    id: str
    input: str
    metadata: dict[str, str]
    looks: int = 0
    status: str = "validating"
    output: str | None = None
    errors: str | None = None
    problem: str | None = None
    code: str = "invalid"
    total: int = 0
    completed: int = 0
    failed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        errors = {"data": [{"code": self.code, "message": self.problem}]} if self.problem else None
        counts = {"total": self.total, "completed": self.completed, "failed": self.failed}
        return {
            "id": self.id, "object": "batch", "endpoint": "/v1/chat/completions",
            "input_file_id": self.input, "completion_window": "24h", "status": self.status,
            "output_file_id": self.output, "error_file_id": self.errors, "errors": errors,
            "request_counts": counts,
            "metadata": self.metadata,
        }  # fmt: skip


@dataclass
class Rules:
    """What the batch side does; tests change it.

    Attributes:
        looks: how often a batch is looked at before it is done.
        end: status that batches end with; lines after ``done_lines`` are left out if it is not
            ``completed``.
        problem: what makes every batch fail as a whole.
        idempotent: whether a batch is made once for an Idempotency-Key.
        queue: requests that the account's queue holds, those of all batches that are out.
        page: batches on a page of the list, where no fewer are asked for.
        queue_words: what a batch fails with that is too large for it.
        fault: called with ``METHOD /path`` before each exchange; an act goes in place of it.
        lost: called in the same way after it: the answer of what was done is not sent.
    """

    looks: int = 1
    end: str = "completed"
    done_lines: int = 10**9
    problem: str | None = None
    idempotent: bool = True
    queue: int = 10**9
    page: int = 2
    queue_words: str = "Enqueued token limit reached for m in organization o."
    fault: Callable[[str], Act | None] = field(default=lambda _: None)
    lost: Callable[[str], bool] = field(default=lambda _: False)


class BatchServer(JudgeServer):
    """The judge server with batches."""

    def __init__(self, script: Script | None = None, **rules: Any) -> None:
        """``rules`` are those of :class:`Rules`."""
        self.rules = Rules(**rules)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self.paid: Counter[str] = Counter()
        self.exchanges: list[str] = []
        self._made: dict[str, str] = {}  # batches by the Idempotency-Key of their making
        super().__init__(script)
        single = self._server.RequestHandlerClass
        self._server.RequestHandlerClass = _handler(self, single)

    def _act_on(self, asked: Asked) -> Act:
        act = super()._act_on(asked)
        self._note_paid(asked.body, act)
        return act

    def _note_paid(self, body: dict[str, Any], act: Act) -> None:
        """Count a body that was answered."""
        if act.status == 200 and act.body:
            digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
            with self._lock:
                self.paid[digest] += 1

    def lines(self, batch: Batch) -> list[dict[str, Any]]:
        """Return the requests of a batch."""
        return [json.loads(line) for line in self.files[batch.input].splitlines()]

    def keep(self, prefix: str, content: bytes) -> str:
        """Store a file; return its id."""
        with self._lock:
            name = f"file-{prefix}{len(self.files)}"
            self.files[name] = content
        return name

    def look(self, batch: Batch) -> None:
        """Let a batch come one step on."""
        if batch.status in {"completed", "failed", "expired", "cancelled", "canceled"}:
            return
        if self.rules.problem:
            batch.status, batch.problem = "failed", self.rules.problem
            return
        running = [other for other in self.batches.values() if other.status == "in_progress"]
        enqueued = batch.total + sum(other.total for other in running)
        if batch.status == "validating" and enqueued > self.rules.queue:
            batch.status, batch.problem = "failed", self.rules.queue_words
            batch.code = "token_limit_exceeded"
            return
        batch.looks += 1
        batch.status = "in_progress"
        if batch.looks > self.rules.looks:
            self._work_off(batch)

    def _work_off(self, batch: Batch) -> None:
        good, bad = [], []
        for number, line in enumerate(self.lines(batch)):
            answer: dict[str, Any] = {"id": f"r{number}", "custom_id": line["custom_id"]}
            if number >= self.rules.done_lines:
                expired = {"code": "batch_expired", "message": "ran out of time"}
                bad.append(answer | {"response": None, "error": expired})
                continue
            act = self._act_on(Asked(number, b"", line["body"], "", "/v1/chat/completions", 0))
            body = (act.body or b"").decode("latin-1")
            try:
                content = json.loads(body)
            except ValueError:
                content = body
            response = {"status_code": act.status, "request_id": "x", "body": content}
            (good if act.status == 200 else bad).append(
                answer | {"response": response, "error": None}
            )
            batch.failed += act.status != 200
        batch.output = self.keep("out", _jsonl(good)) if good else None
        batch.errors = self.keep("err", _jsonl(bad)) if bad else None
        batch.completed = len(good)
        batch.status = self.rules.end


def _jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in reversed(lines))


def _handler(
    server: BatchServer, single: type[BaseHTTPRequestHandler]
) -> type[BaseHTTPRequestHandler]:
    class Handler(single):  # type: ignore[misc,valid-type]
        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            if path == "/v1/chat/completions":
                super().do_POST()
                return
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if path == "/v1/files":
                self._exchange("POST /files", lambda: self._upload(raw))
            elif path == "/v1/batches":
                self._exchange("POST /batches", lambda: self._create(raw))
            else:
                self._exchange(f"POST {path}", lambda: (404, {}))

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            match parts.path.removeprefix("/v1/").split("/"):
                case ["batches"]:
                    query = parse_qs(parts.query)
                    self._exchange("GET /batches", lambda: self._list(query))
                case ["batches", name] if name in server.batches:
                    self._exchange("GET /batches/ID", lambda: self._show(name))
                case ["files", name, "content"] if name in server.files:
                    self._exchange("GET /files/ID", lambda: (200, server.files[name]))
                case [
                    "models",
                    _,
                ]:  # what is told of a judge is no matter of batches
                    self._send(404, b"{}")
                case _:
                    self._exchange(f"GET {parts.path}", lambda: (404, {}))

        def _exchange(self, name: str, work: Callable[[], tuple[int, Any]]) -> None:
            server.exchanges.append(name)
            fault = server.rules.fault(name)
            if fault is not None:
                self._send(fault.status, fault.body or b"", fault.headers)
                return
            status, content = work()
            if server.rules.lost(name):
                self.close_connection = True
                return
            self._send(
                status, content if isinstance(content, bytes) else json.dumps(content).encode()
            )

        def _send(
            self, status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _upload(self, raw: bytes) -> tuple[int, Any]:
            head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
            form = email.message_from_bytes(head + raw, policy=email.policy.HTTP)
            fields = {
                str(part.get_param("name", header="content-disposition")): part.get_payload(
                    decode=True
                )
                for part in form.iter_parts()
            }
            if fields.get("purpose") != b"batch":
                return 400, {"error": {"message": "no purpose"}}
            return 200, {"id": server.keep("in", fields["file"]), "object": "file"}

        def _create(self, raw: bytes) -> tuple[int, Any]:
            asked = json.loads(raw)
            if asked["input_file_id"] not in server.files:
                return 400, {"error": {"message": "no such file"}}
            assert asked["endpoint"] == "/v1/chat/completions"
            assert asked["completion_window"] == "24h"
            key = self.headers.get("Idempotency-Key") or f"none {len(server.batches)}"
            if key in server._made and server.rules.idempotent:
                return 200, server.batches[server._made[key]].as_json()
            with server._lock:
                name = f"batch_{len(server.batches)}"
                server._made[key] = name
                batch = Batch(name, asked["input_file_id"], asked["metadata"])
                server.batches[name] = batch
            batch.total = len(server.lines(batch))
            return 200, batch.as_json()

        def _show(self, name: str) -> tuple[int, Any]:
            server.look(server.batches[name])
            return 200, server.batches[name].as_json()

        def _list(self, query: dict[str, list[str]]) -> tuple[int, Any]:
            names = list(reversed(server.batches))  # the newest first
            size = min(server.rules.page, int(query["limit"][0]))
            if "after" in query:
                names = names[names.index(query["after"][0]) + 1 :]
            page = [server.batches[name].as_json() for name in names[:size]]
            return 200, {"object": "list", "data": page, "has_more": len(names) > size}

    return Handler
