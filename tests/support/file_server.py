"""A web server for one file, with faults as scripted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.loopback import QuietHandler, loopback


@dataclass
class FileServer:
    """What is answered, (status, body) a request, the last one for ever; and what was asked."""

    answers: list[tuple[int, bytes]]
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    endpoint: str = ""

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        """Listen for the length of the block."""
        files = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                status, body = files.answers[min(len(files.asked), len(files.answers) - 1)]
                files.asked.append(self.path)
                self.send(status, body, files.headers)

        with loopback(Handler) as self.endpoint:
            yield self
