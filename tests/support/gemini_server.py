"""The Gemini API on loopback: files, their states, tokens and answers, with faults as scripted.

::

    with GeminiServer(script=lambda call: error(503) if call.seen == 0 else None) as server:
        ...  # GOOGLE_GEMINI_BASE_URL=server.url

A script is a function from a call to what is done with it; None is the right answer. An answer is
made of what was asked and shown, so that no two can be mixed up.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from tests.support.judge_server import Act, _Server

KEY = "AIza-canary-0123456789abcdefghijklmnop"
MODEL = "gemini-2.5-flash"
Kind = Literal["start", "upload", "get", "delete", "list", "generate", "count"]


@dataclass(frozen=True)
class Call:
    """A call as it came; ``seen`` is how often one of this kind had come for the same."""

    kind: Kind
    about: str  # a file's name, or the text of a question
    number: int  # among all calls
    seen: int
    headers: Mapping[str, str]
    path: str
    body: Any = None

    @property
    def parts(self) -> list[dict[str, Any]]:
        """Return the parts of all turns."""
        return [part for turn in self.body["contents"] for part in turn["parts"]]


@dataclass
class Held:
    """A file that is there."""

    name: str
    content: bytes = field(repr=False)
    mime_type: str
    state: str
    looks: int = 0  # how often it is still PROCESSING when asked about

    def told(self, url: str) -> dict[str, Any]:
        """Return it as the API tells of it."""
        told: dict[str, Any] = {
            "name": self.name,
            "uri": f"{url}/v1beta/{self.name}",
            "mimeType": self.mime_type,
            "sizeBytes": str(len(self.content)),
            "state": self.state,
        }
        if self.state == "FAILED":
            told["error"] = {"code": 3, "message": "the video has no\x1b[2J frames"}
        return told


Script = Callable[[Call], "Act | None"]


def error(code: int, message: str = "scripted failure", **more: Any) -> Act:
    """Answer with an error in Google's form; ``headers`` and ``details`` are told apart."""
    headers = more.pop("headers", {"Retry-After": "0"} if code >= 429 else {})
    content = {"code": code, "message": message, "status": f"STATUS_{code}", **more}
    return Act(code, json.dumps({"error": content}).encode(), headers)


def quota(*, daily: bool, delay: str = "0s") -> Act:
    """Answer 429 as Google does, for a minute's or a day's quota."""
    which = "PerDay" if daily else "PerMinute"
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": f"GenerateRequests{which}PerProjectPerModel"}],
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    return error(429, "You exceeded your current quota", details=details, headers={})


def reply(text: str | None = "A caption.", finish: str | None = "STOP", **more: Any) -> Act:
    """Answer with a candidate that says this."""
    return Act(body=json.dumps(answered(text, finish, **more)).encode())


def answered(text: str | None, finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    """Return a reply of ``generateContent``."""
    parts = [{"text": "I think about it.", "thought": True}]
    parts += [] if text is None else [{"text": text}]
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": {
            "promptTokenCount": 1_300,
            "candidatesTokenCount": 200,
            "thoughtsTokenCount": 100,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 20},
                {"modality": "VIDEO", "tokenCount": 1_120},
                {"modality": "AUDIO", "tokenCount": 160},
            ],
        },
        "modelVersion": MODEL,
        **more,
    }


USD = (1_140 * 0.3 + 160 * 1.0 + 300 * 2.5) / 1e6
"""What such a reply of gemini-2.5-flash costs."""


class GeminiServer:
    """The server: ``calls`` came; ``files`` are there; ``most_at_once`` were open, by kind."""

    def __init__(self, script: Script | None = None, *, looks: int = 1, port: int = 0) -> None:
        self.script: Script = script or (lambda _: None)
        self.calls: list[Call] = []
        self.files: dict[str, Held] = {}
        self.ever: dict[str, Held] = {}
        self.most_at_once: Counter[str] = Counter()
        self.tokens = 1_300  # of a prompt, as it is counted
        self._looks = looks
        self._open: Counter[str] = Counter()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._begun: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        """Return the value for GOOGLE_GEMINI_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a client here."""
        return {"GOOGLE_GEMINI_BASE_URL": self.url, "GOOGLE_API_KEY": KEY}

    def of(self, kind: Kind) -> list[Call]:
        """Return the calls of a kind."""
        return [call for call in self.calls if call.kind == kind]

    def foreign(self, name: str) -> None:
        """Put a file of somebody else there."""
        self.files[name] = Held(name, b"somebody's", "video/mp4", "ACTIVE")

    def wait_for(self, kind: Kind, count: int, timeout: float = 120.0) -> None:
        """Return when at least so many calls of a kind have come."""
        give_up = time.monotonic() + timeout
        while len(self.of(kind)) < count:
            assert time.monotonic() < give_up, f"{len(self.of(kind))} of {count} {kind}"
            time.sleep(0.005)

    def __enter__(self) -> GeminiServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _arrived(self, kind: Kind, about: str, handler: BaseHTTPRequestHandler, body: Any) -> Call:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self._open[kind] += 1
            self.most_at_once[kind] = max(self.most_at_once[kind], self._open[kind])
            seen = self._seen[kind, about]
            self._seen[kind, about] += 1
            call = Call(kind, about, len(self.calls), seen, headers, handler.path, body)
            self.calls.append(call)
        return call

    def _right(self, call: Call, raw: bytes) -> Act:
        if call.headers.get("x-goog-api-key") != KEY and call.kind != "upload":
            return error(400, "API key not valid. Please pass a valid API key.")
        act: Act = getattr(self, f"_{call.kind}")(call, raw)
        return act

    def _start(self, call: Call, raw: bytes) -> Act:
        told = call.body["file"]
        if told["name"] in self.files:
            return error(409, "it exists")
        place = hashlib.sha256(told["name"].encode()).hexdigest()[:16]
        mime_type = call.headers["x-goog-upload-header-content-type"]
        self._begun[place] = Held(told["name"], b"", mime_type, "PROCESSING", self._looks)
        return Act(body=b"{}", headers={"X-Goog-Upload-URL": f"{self.url}/resumable/{place}"})

    def _upload(self, call: Call, raw: bytes) -> Act:
        held = self._begun[call.about]
        held.content += raw
        final = "finalize" in call.headers["x-goog-upload-command"]
        if final:
            self.files[held.name] = self.ever[held.name] = held
        body = json.dumps({"file": held.told(self.url)}).encode()
        return Act(body=body, headers={"X-Goog-Upload-Status": "final" if final else "active"})

    def _get(self, call: Call, raw: bytes) -> Act:
        if (held := self.files.get(call.about)) is None:
            return error(403, "You do not have permission to access the File or it may not exist.")
        if held.state == "PROCESSING":
            held.looks -= 1
            held.state = "PROCESSING" if held.looks >= 0 else "ACTIVE"
        return Act(body=json.dumps(held.told(self.url)).encode())

    def _delete(self, call: Call, raw: bytes) -> Act:
        if self.files.pop(call.about, None) is None:
            return error(403, "You do not have permission to access the File or it may not exist.")
        return Act(body=b"{}")

    def _list(self, call: Call, raw: bytes) -> Act:
        return error(500, "nobody lists the account's files")

    def _count(self, call: Call, raw: bytes) -> Act:
        return Act(body=json.dumps({"totalTokens": self.tokens}).encode())

    def _generate(self, call: Call, raw: bytes) -> Act:
        shown = []
        for part in call.parts:
            if blob := part.get("inlineData"):
                shown.append(hashlib.sha256(base64.urlsafe_b64decode(blob["data"])).hexdigest()[:8])
            elif told := part.get("fileData"):
                name = _name(told["fileUri"])
                held = self.files.get(name)
                if held is None:
                    return error(403, "You do not have permission to access the File.")
                if held.state != "ACTIVE":
                    return error(400, f"The File is in the state {held.state}")
                shown.append(hashlib.sha256(held.content).hexdigest()[:8])
        return reply(caption(call.about, *shown))


def caption(question: str, *digests: str) -> str:
    """Return the answer to a question about files, by the first of their digests."""
    return f"Of {' and '.join(digests)}: {question}"


def _camel(value: Any) -> Any:
    """Return JSON with the names that Google documents: google-genai mixes both ways of writing."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda m: m[1].upper(), k): _camel(v) for k, v in value.items()}
    return value


def _name(address: str) -> str:
    return re.split(r"/v1(?:beta)?/", address)[-1]


def _kind(method: str, path: str, headers: Any) -> tuple[Kind, str]:
    if path.startswith("/resumable/"):
        return "upload", path.rpartition("/")[2]
    if path.startswith("/upload/"):
        return "start", ""
    if match := re.search(r":(generateContent|countTokens)$", path):
        return ("generate" if match[1] == "generateContent" else "count"), ""
    name = _name(path)
    if name == "files":
        return "list", name
    return ("delete" if method == "DELETE" else "get"), name


def _handler(server: GeminiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            if len(raw) < length:  # the client was killed while it sent this
                self.close_connection = True
                return
            kind, about = _kind(self.command, self.path.partition("?")[0], self.headers)
            body = _camel(json.loads(raw)) if kind in {"start", "generate", "count"} else None
            if kind == "start":
                about = body["file"]["name"]
            elif body is not None:
                texts = (part.get("text") for turn in body["contents"] for part in turn["parts"])
                about = next((text for text in texts if text), "")
            call = server._arrived(kind, about, self, body)
            try:
                act = server.script(call) or server._right(call, raw)
                server._closing.wait(act.delay)
                if act.body is None:
                    server._closing.wait()
                    self.close_connection = True
                    return
            finally:
                with server._lock:
                    server._open[kind] -= 1
            self.send_response(act.status)
            for name, value in act.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(act.body)))
            self.end_headers()
            self.wfile.write(act.body[: act.cut])
            if act.cut is not None:
                self.close_connection = True

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Keep stderr for the tests."""

    return Handler
