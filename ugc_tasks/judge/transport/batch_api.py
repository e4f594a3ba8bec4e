"""OpenAI's Batch API: the files of requests and answers, and its endpoints.

Source: OpenAI's API reference, "Files" and "Batch". A file has a JSON object a line: a request is
``{custom_id, method, url, body}``, an answer ``{custom_id, response: {status_code, body}, error}``;
at most 50,000 requests and 200 MB a file. A ``custom_id`` here is the key of the judgment.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from ugc_tasks.judge.transport.client import Answer, Call, Connection, read_completion
from ugc_tasks.judge.transport.errors import (
    JudgeRefused,
    RequestFailed,
    RetryableError,
    Unreadable,
    brief_message,
    error_details,
    without_key,
)
from ugc_tasks.judge.types import ChatReply

if TYPE_CHECKING:
    import openai

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
MAX_ANSWERS = 512 << 20
"""Bytes of a file of answers: what a connection for this must let through."""

URL: Final = "/v1/chat/completions"
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


# ---- files ----


@dataclass(frozen=True)
class Part:
    """One file of requests: its bytes, and the keys of its judgments."""

    content: bytes
    keys: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Return the digest of the bytes."""
        return hashlib.sha256(self.content).hexdigest()


def parts(
    bodies: Mapping[str, Mapping[str, Any]],
    *,
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> Iterator[Part]:
    """Yield files with all requests, by key of their judgment, each within the API's limits.

    Requests that cannot be written, or are too large for any file, are left out.
    """
    lines: list[bytes] = []
    keys: list[str] = []
    size = 0
    for key, body in bodies.items():
        request = {"custom_id": key, "method": "POST", "url": URL, "body": body}
        try:
            line = _line(request)
        except ValueError:  # a lone surrogate, or a number that JSON does not have
            continue
        if len(line) > max_bytes:
            continue
        if lines and (len(lines) == max_requests or size + len(line) > max_bytes):
            yield Part(b"".join(lines), tuple(keys))
            lines, keys, size = [], [], 0
        lines.append(line)
        keys.append(key)
        size += len(line)
    if lines:
        yield Part(b"".join(lines), tuple(keys))


def _line(request: Mapping[str, Any]) -> bytes:
    text = json.dumps(request, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"{text}\n".encode()


def replies(content: bytes, keys: Collection[str], api_key: str) -> dict[str, ChatReply]:
    """Return the replies in a file of answers, by key; the first counts where one is there twice.

    Lines that are no reply (an error, junk, a key that was not asked for) are passed over: their
    judgments are still missing, and are asked for by single requests. A line that was billed and
    cannot be read is a reply without text.

    Args:
        content: of the file.
        keys: what was asked for.
        api_key: to keep out of the replies.
    """
    wanted, found = set(keys), dict[str, ChatReply]()
    for line in content.splitlines():
        try:
            answer = json.loads(line)
            key, response = answer["custom_id"], answer["response"]
            if key not in wanted or key in found or response["status_code"] != 200:
                continue
            found[key] = _reply(response["body"], api_key)
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
    return found


def _reply(body: Any, api_key: str) -> ChatReply:
    """Return the reply in a line's body; raises ``ValueError`` where none was billed."""
    try:
        return read_completion(json.dumps(body).encode(), api_key)
    except RequestFailed as error:
        if error.billed is not None:
            return error.billed
    except (RetryableError, JudgeRefused):
        pass
    raise ValueError("no reply")


# ---- endpoints ----


class NotThere(RuntimeError):
    """The endpoint declines to show this one batch or file; the message has its words.

    Attributes:
        gone: whether it says that the batch or file does not exist.
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
    """Single exchanges over ``connection``; each raises ``RetryableError`` or ``JudgeRefused``.

    Those about one batch or file raise ``NotThere`` where only that one is declined.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._key = connection.api_key

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
                raise RetryableError("the answer is no list of batches")
            for entry in listed:
                if isinstance(entry, dict):
                    yield entry
            if not page.get("has_more") or not listed or not isinstance(listed[-1], dict):
                return
            after = self._id(listed[-1].get("id"))

    async def get(self, batch: str) -> Batch:
        """Return how a batch stands."""
        answer = await self._send(
            lambda client: client.batches.with_raw_response.retrieve(self._id(batch)), one=True
        )
        return self._batch(_object(answer))

    async def content(self, file: str) -> bytes:
        """Return the content of a file of answers."""
        answer = await self._send(
            lambda client: client.files.with_raw_response.content(self._id(file)),
            timeout=_TRANSFER_S,
            one=True,
        )
        content: bytes = answer.content
        return content

    async def _send(self, call: Call, *, timeout: float | None = None, one: bool = False) -> Answer:
        """Return the answer to ``call``; ``one``: it is about one batch or file."""
        try:
            answer = await self._connection.send(call, timeout=timeout)
        except Unreadable as error:
            raise JudgeRefused(
                f"{self._connection.endpoint}: {error}; unset UGC_JUDGE_MODE"
            ) from None
        if answer.is_success:
            return answer
        code, _, words = error_details(answer.content)
        said = brief_message(words, self._key)
        if code == _QUEUE_FULL:
            raise QueueFull(said)
        if one and answer.status_code in _NOT_THERE:
            raise NotThere(
                f"answered {answer.status_code}" + (f" ({said})" if said else ""),
                gone=answer.status_code in _GONE,
            )
        failure = self._connection.failure(answer)
        if isinstance(failure, RequestFailed):  # another batch would fail in the same way
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
        raise RetryableError("the answer has an id in it that is none")


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
        content = json.loads(answer.content)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RetryableError("the answer is no JSON object")
    return content


def _tag(content: Mapping[str, Any]) -> str:
    metadata = content.get("metadata")
    return str(metadata.get(TAG) or "") if isinstance(metadata, dict) else ""


def _int(value: object) -> int:
    return value if type(value) is int else 0
