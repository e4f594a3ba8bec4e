"""The part of the Hugging Face Hub that takes commits, on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.loopback import QuietHandler, loopback


@dataclass
class Hub:
    """The repositories there are, the token that may write, and the commits that came.

    Each commit has ``repository``, ``summary``, ``pull_request`` and ``files`` (texts by path).
    """

    repositories: set[str]
    token: str
    address: str = ""
    commits: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0


@contextmanager
def hub(*repositories: str, token: str = "hf_loopback") -> Iterator[Hub]:  # noqa: S107
    state = Hub(set(repositories), token)

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            state.requests += 1
            path, _, query = self.path.partition("?")
            owner, name, what, *_ = path.removeprefix("/api/models/").split("/")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Authorization") != f"Bearer {state.token}":
                return self.send_json(401, {"error": "Invalid credentials"})
            if f"{owner}/{name}" not in state.repositories:
                return self.send_json(404, {"error": "Repository not found"})
            if what == "preupload":
                files = [
                    {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for each in json.loads(body)["files"]
                ]
                return self.send_json(200, {"files": files})
            lines = [json.loads(line) for line in body.splitlines()]
            head = next(line["value"] for line in lines if line["key"] == "header")
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"]).decode()
                for line in lines
                if line["key"] == "file"
            }
            state.commits.append(
                {
                    "repository": f"{owner}/{name}",
                    "summary": head["summary"],
                    "pull_request": "create_pr=1" in query,
                    "files": files,
                }
            )
            place = f"{state.address}/{owner}/{name}"
            return self.send_json(
                200,
                {
                    "success": True,
                    "commitOid": "0" * 40,
                    "commitUrl": f"{place}/commit/{'0' * 40}",
                    "pullRequestUrl": f"{place}/discussions/7",
                },
            )

        def send_json(self, status: int, content: Any) -> None:
            self.send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    with loopback(Handler) as address:
        state.address = address
        yield state
