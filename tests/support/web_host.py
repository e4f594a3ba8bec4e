"""A web host on loopback with pages, files and the faults of real ones, path by path."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.loopback import QuietHandler, loopback

MP4 = {"Content-Type": "video/mp4"}
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Answer:
    """One answer: ``cut`` ends it after so many bytes, ``endless`` repeats it for ever."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    endless: bool = False


@dataclass
class WebHost:
    """What each path is answered with, in turn, the last answer for ever; and what was asked."""

    pages: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    """The authorization of each request."""
    slow: threading.Event | None = None
    """When set here, every answer waits for it."""
    endpoint: str = ""

    def add(self, path: str, *answers: Answer) -> str:
        """Answer a path so, and return its address."""
        self.pages[path] = list(answers)
        return self.endpoint + path

    @contextmanager
    def running(self) -> Iterator[WebHost]:
        """Listen for the length of the block."""
        host = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                host.tokens.append(self.headers.get("Authorization"))
                if host.slow is not None:
                    host.slow.wait(240)
                # A client that has enough hangs up.
                with contextlib.suppress(ConnectionError):
                    self._answer(host._next(self.path))

            def _answer(self, answer: Answer) -> None:
                if answer.endless:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    while True:
                        self.wfile.write(answer.body)
                length = {"Content-Length": str(len(answer.body))}
                self.send(answer.status, answer.body[: answer.cut], length | answer.headers)

        with loopback(Handler) as self.endpoint:
            yield self

    def _next(self, path: str) -> Answer:
        answers = self.pages.get(path)
        if not answers:
            return Answer(status=404)
        return answers.pop(0) if len(answers) > 1 else answers[0]
