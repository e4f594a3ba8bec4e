"""The endpoints of the Batch API: files up, batches made, found and watched, answers down.

Source: OpenAI's API reference, "Files" and "Batch".
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.batch_lines import URL
from ugc_tasks.judge.connection import Answer, Call, Connection
from ugc_tasks.judge.failures import JudgeRefused, Passing, RequestFailed, explain
from ugc_tasks.judge.secret import brief_message

if TYPE_CHECKING:
    import openai

TAG = "ugc_videocap"
"""Name of our tag in a batch's metadata."""

_ENDED = {"completed", "failed", "expired", "cancelled"}
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")  # what may become a part of an address
_LIST_PAGES, _PAGE = 20, 100
_TRANSFER_S = 600.0

MAX_ANSWERS = 512 << 20
"""Bytes of a file of answers: what a connection for this must let through."""


@dataclass(frozen=True)
class Batch:
    """A batch as the endpoint sees it.

    Attributes:
        status: the endpoint's word.
        files: ids of the files with answers, those with errors included.
        problem: why it failed as a whole; empty if it did not.
    """

    id: str
    status: str
    tag: str
    files: tuple[str, ...]
    problem: str
    done: int
    total: int

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED


class BatchApi:
    """Single exchanges over ``connection``; each raises ``Passing`` or ``JudgeRefused``."""

    def __init__(self, connection: Connection, *, endpoint: str, api_key: str) -> None:
        """``endpoint`` is the address as messages show it."""
        self._connection = connection
        self._endpoint = endpoint
        self._key = api_key

    async def upload(self, name: str, content: bytes) -> str:
        """Upload a file of requests; return its id."""
        file = (name, content, "application/jsonl")
        answer = await self._send(
            lambda client: client.files.with_raw_response.create(file=file, purpose="batch"),
            timeout=_TRANSFER_S,
        )
        return _id(_object(answer).get("id"))

    async def create(self, file: str, tag: str, sha256: str) -> Batch:
        """Make a batch of an uploaded file; it costs money from now on."""
        answer = await self._send(
            lambda client: client.batches.with_raw_response.create(
                input_file_id=file,
                endpoint=URL,
                completion_window="24h",
                metadata={TAG: tag, "sha256": sha256},
                extra_headers={"Idempotency-Key": tag},
            )
        )
        return self._batch(_object(answer))

    async def find(self, tag: str) -> Batch | None:
        """Return the batch with our ``tag``, None if the endpoint has none."""
        after: str | None = None
        for _ in range(_LIST_PAGES):
            page = _object(await self._send(partial(_listed, after=after)))
            listed = page.get("data")
            if not isinstance(listed, list):
                raise Passing("the answer is no list of batches")
            for entry in listed:
                if isinstance(entry, dict) and _tag(entry) == tag:
                    return self._batch(entry)
            if not page.get("has_more") or not listed or not isinstance(listed[-1], dict):
                return None
            after = _id(listed[-1].get("id"))
        return None

    async def get(self, batch: str) -> Batch:
        """Return how a batch stands."""
        return self._batch(
            _object(
                await self._send(
                    lambda client: client.batches.with_raw_response.retrieve(_id(batch))
                )
            )
        )

    async def content(self, file: str) -> bytes:
        """Return the content of a file of answers."""
        answer = await self._send(
            lambda client: client.files.with_raw_response.content(_id(file)), timeout=_TRANSFER_S
        )
        return answer.body

    async def _send(self, call: Call, *, timeout: float | None = None) -> Answer:
        answer = await self._connection.send(call, timeout=timeout)
        if answer.ok:
            return answer
        failure = explain(
            answer.status, answer.headers, answer.body, endpoint=self._endpoint, key=self._key
        )
        if isinstance(failure, RequestFailed):  # there are no others that might do better
            raise JudgeRefused(f"{failure}: it does not take batches so; unset UGC_JUDGE_MODE")
        raise failure

    def _batch(self, content: Mapping[str, Any]) -> Batch:
        counts = content.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        names = ("output_file_id", "error_file_id")
        return Batch(
            id=_id(content.get("id")),
            status=str(content.get("status")),
            tag=_tag(content),
            files=tuple(_id(content[name]) for name in names if content.get(name)),
            problem=brief_message(_problem(content), self._key),
            done=_int(counts.get("completed")) + _int(counts.get("failed")),
            total=_int(counts.get("total")),
        )


def _listed(client: openai.AsyncOpenAI, *, after: str | None) -> Awaitable[Any]:
    batches: Any = client.batches.with_raw_response  # its list is awaitable as all others are
    page: Awaitable[Any] = batches.list(limit=_PAGE, **({"after": after} if after else {}))
    return page


def _problem(content: Mapping[str, Any]) -> str:
    errors = content.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return str(first.get("message") or first.get("code")) if isinstance(first, dict) else ""


def _object(answer: Answer) -> dict[str, Any]:
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Passing("the answer is no JSON object")
    return content


def _tag(content: Mapping[str, Any]) -> str:
    metadata = content.get("metadata")
    return str(metadata.get(TAG) or "") if isinstance(metadata, dict) else ""


def _id(value: object) -> str:
    if isinstance(value, str) and _ID.fullmatch(value) and value not in {".", ".."}:
        return value
    raise Passing("the answer has an id in it that is none")


def _int(value: object) -> int:
    return value if type(value) is int else 0
