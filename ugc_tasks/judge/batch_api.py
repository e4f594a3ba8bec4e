"""The endpoints of the Batch API: files up, batches made, found and watched, answers down.

Source: OpenAI's API reference, "Files" and "Batch".
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from ugc_tasks.judge.batch_lines import URL
from ugc_tasks.judge.connection import Answer, Call, Connection
from ugc_tasks.judge.failures import (
    JudgeRefused,
    Passing,
    RequestFailed,
    Unreadable,
    details,
    explain,
)
from ugc_tasks.judge.secret import brief_message, without_key

if TYPE_CHECKING:
    import openai

TAG = "ugc_videocap"
"""Name of our tag in a batch's metadata."""

_ENDED = {"completed", "failed", "expired", "cancelled", "canceled"}
_OUT = {"validating", "in_progress", "finalizing", "cancelling", "canceling", "queued", "pending"}
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")  # what may become a part of an address
_QUEUE_FULL = "token_limit_exceeded"
_QUEUE_LIMIT = re.compile(r"\blimit: ?([0-9][0-9,]{0,18})", re.IGNORECASE)
_GONE = {404, 410}
_NOT_THERE = _GONE | {400, 403, 422}
_LIST_PAGES, _PAGE = 20, 100
_TRANSFER_S = 600.0

MAX_ANSWERS = 512 << 20
"""Bytes of a file of answers: what a connection for this must let through."""


class NotThere(RuntimeError):
    """The endpoint declines to show this one batch or file; the message has its words.

    Attributes:
        gone: whether it says that there is none.
    """

    def __init__(self, said: str, *, gone: bool = True) -> None:
        super().__init__(said)
        self.gone = gone


class QueueFull(RuntimeError):
    """The account's queue has no room for a batch; the message has the endpoint's words.

    Attributes:
        limit: tokens that the queue holds, as the endpoint states it; None where it does not.
    """

    def __init__(self, said: str) -> None:
        super().__init__(said)
        stated = _QUEUE_LIMIT.search(said)
        self.limit = int(stated[1].replace(",", "")) if stated else None


@dataclass(frozen=True)
class Batch:
    """A batch as the endpoint sees it.

    Attributes:
        status: the endpoint's word, in lower case and fit to be shown.
        output: id of the file with answers, None for none.
        errors: id of the file with what failed, None for none.
        problem: why it failed as a whole, fit to be shown; empty if it did not.
        queue_full: whether that is because the account's queue has no room for it.
    """

    id: str
    status: str
    tag: str
    output: str | None
    errors: str | None
    problem: str
    queue_full: bool
    done: int
    total: int

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED

    @property
    def known(self) -> bool:
        """Whether its status is one that batches are known to have."""
        return self.status in _ENDED | _OUT


class BatchApi:
    """Single exchanges over ``connection``; each raises ``Passing`` or ``JudgeRefused``.

    Those about one batch or file raise ``NotThere`` where only that one is declined.
    """

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
        return self._id(_object(answer).get("id"))

    async def create(self, file: str, tag: str, sha256: str) -> Batch:
        """Make a batch of an uploaded file; it costs money from now on. Raises ``QueueFull``."""
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
        async for entry in self._list():
            if _tag(entry) == tag:
                return self._batch(entry)
        return None

    async def others_are_out(self, ended: Collection[str]) -> bool:
        """Tell whether the account has batches that have not ended.

        Args:
            ended: tags of ours that have, whatever the list says of them.
        """
        async for entry in self._list():
            if _tag(entry) not in ended and str(entry.get("status")).lower() not in _ENDED:
                return True
        return False

    async def _list(self) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over the account's batches, the newest first."""
        after: str | None = None
        for _ in range(_LIST_PAGES):
            page = _object(await self._send(partial(_listed, after=after)))
            listed = page.get("data")
            if not isinstance(listed, list):
                raise Passing("the answer is no list of batches")
            for entry in listed:
                if isinstance(entry, dict):
                    yield entry
            if not page.get("has_more") or not listed or not isinstance(listed[-1], dict):
                return
            after = self._id(listed[-1].get("id"))

    async def get(self, batch: str) -> Batch:
        """Return how a batch stands."""
        return self._batch(
            _object(
                await self._send(
                    lambda client: client.batches.with_raw_response.retrieve(self._id(batch)),
                    one=True,
                )
            )
        )

    async def content(self, file: str) -> bytes:
        """Return the content of a file of answers."""
        answer = await self._send(
            lambda client: client.files.with_raw_response.content(self._id(file)),
            timeout=_TRANSFER_S,
            one=True,
        )
        return answer.body

    async def _send(self, call: Call, *, timeout: float | None = None, one: bool = False) -> Answer:
        """Return the answer to ``call``; ``one``: it is about one batch or file."""
        try:
            answer = await self._connection.send(call, timeout=timeout)
        except Unreadable as error:
            raise JudgeRefused(f"{self._endpoint}: {error}; unset UGC_JUDGE_MODE") from None
        if answer.ok:
            return answer
        code, _, said = details(answer.body)
        if code == _QUEUE_FULL:
            raise QueueFull(brief_message(said, self._key))
        if one and answer.status in _NOT_THERE:
            said = brief_message(said, self._key)
            raise NotThere(
                f"answered {answer.status}" + (f" ({said})" if said else ""),
                gone=answer.status in _GONE,
            )
        failure = explain(
            answer.status, answer.headers, answer.body, endpoint=self._endpoint, key=self._key
        )
        if isinstance(failure, RequestFailed):  # there are no others that might do better
            raise JudgeRefused(f"{failure}: it does not take batches so; unset UGC_JUDGE_MODE")
        raise failure

    def _batch(self, content: Mapping[str, Any]) -> Batch:
        counts = content.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        code, problem = _problem(content)

        def file(name: str) -> str | None:
            return self._id(content[name]) if content.get(name) else None

        return Batch(
            id=self._id(content.get("id")),
            status=brief_message(str(content.get("status")), self._key, 40).lower(),
            tag=_tag(content),
            output=file("output_file_id"),
            errors=file("error_file_id"),
            problem=brief_message(problem or code, self._key),
            queue_full=code == _QUEUE_FULL,
            done=_int(counts.get("completed")) + _int(counts.get("failed")),
            total=_int(counts.get("total")),
        )

    def _id(self, value: object) -> str:
        """Return an id of the endpoint's, which goes into addresses, messages and the store."""
        if is_id(value) and without_key(value, self._key) == value:
            return value
        raise Passing("the answer has an id in it that is none")


def is_id(value: object) -> TypeGuard[str]:
    """Tell whether this can be an endpoint's id, and a part of an address."""
    return isinstance(value, str) and bool(_ID.fullmatch(value)) and value not in {".", ".."}


def _listed(client: openai.AsyncOpenAI, *, after: str | None) -> Awaitable[Any]:
    batches: Any = client.batches.with_raw_response  # its list is awaitable as all others are
    page: Awaitable[Any] = batches.list(limit=_PAGE, **({"after": after} if after else {}))
    return page


def _problem(content: Mapping[str, Any]) -> tuple[str, str]:
    """Return code and message of the first error of a batch that failed as a whole."""
    errors = content.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(first, dict):
        return "", ""
    return str(first.get("code") or ""), str(first.get("message") or "")[:2000]


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


def _int(value: object) -> int:
    return value if type(value) is int else 0
