"""The Hugging Face Hub on loopback: as much of its protocol as one dataset's files need.

``huggingface_hub`` asks a file's head for its commit and ETag, then fetches it; where it is told
that a revision does not exist, the list of commits tells which do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.loopback import QuietHandler, loopback


@dataclass
class HubServer:
    """A dataset repository with one commit that matters and an older one.

    Attributes:
        repo: ``owner/name``.
        commit: full hash that the files belong to.
        files: content by name.
        knows_short: whether a revision may be the beginning of a hash.
        status: when set, what every request is answered with.
        spoiled: content that is sent in place of a file's own, under its ETag.
        asked: ``"METHOD path"`` of each request.
        tokens: the authorization headers that came.
    """

    repo: str
    commit: str
    files: Mapping[str, bytes]
    knows_short: bool = True
    status: int | None = None
    spoiled: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    endpoint: str = ""

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        """Listen for the length of the block."""
        hub = self

        class Handler(QuietHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                hub.tokens.add(self.headers.get("Authorization", ""))
                self.send(*hub._answer(self.path.split("?")[0]))

        with loopback(Handler) as self.endpoint:
            yield self

    def _answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        if self.status is not None:
            return self.status, b"", {}
        if path.startswith(f"/api/datasets/{self.repo}/commits/"):
            commits = [_commit("f" * 40), _commit(self.commit), _commit("0" * 40)]
            return 200, json.dumps(commits).encode(), {"Content-Type": "application/json"}
        prefix = f"/datasets/{self.repo}/resolve/"
        if not path.startswith(prefix):
            return 404, b"", {"X-Error-Code": "RepoNotFound"}
        revision, _, name = path.removeprefix(prefix).partition("/")
        known = {self.commit, self.commit[: len(revision)]} if self.knows_short else {self.commit}
        if revision not in known:
            return 404, b"", {"X-Error-Code": "RevisionNotFound"}
        headers = {"X-Repo-Commit": self.commit}
        if name not in self.files:
            return 404, b"", headers | {"X-Error-Code": "EntryNotFound"}
        body = self.files[name]
        blob = hashlib.sha1(b"blob %d\0" % len(body) + body)  # noqa: S324
        sent = self.spoiled.get(name, body)
        return 200, sent, headers | {"ETag": f'"{blob.hexdigest()}"'}


def _commit(identity: str) -> dict[str, object]:
    return {
        "id": identity,
        "title": "a commit",
        "message": "",
        "authors": [{"user": "somebody"}],
        "date": "2025-07-01T00:00:00.000Z",
    }
