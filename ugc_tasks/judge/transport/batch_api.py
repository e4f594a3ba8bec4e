"""OpenAI's Batch API: the files of requests and answers, and its endpoints.

Source: OpenAI's API reference, "Files" and "Batch". A file has a JSON object a line: a request is
``{custom_id, method, url, body}``, an answer ``{custom_id, response: {status_code, body}, error}``;
at most 50,000 requests and 200 MB a file. A ``custom_id`` here is the key of the judgment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard, TypeVar

from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.transport.client import Answer, Call, Connection, read_completion
from ugc_tasks.judge.transport.errors import (
    JudgeRefused,
    RequestFailed,
    RetryableError,
    brief_message,
    error_details,
    without_key,
)
from ugc_tasks.judge.transport.retry import Backoff, CircuitBreaker, retried
from ugc_tasks.judge.types import ChatReply

if TYPE_CHECKING:
    import openai

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
URL: Final = "/v1/chat/completions"
TAG = "ugc_videocap"  # name of our tag in a batch's metadata

_T = TypeVar("_T")
_MAX_ANSWERS = 512 << 20  # bytes of a file of answers
_ENDED = {"completed", "failed", "expired", "cancelled", "canceled"}
_OUT = {"validating", "in_progress", "finalizing", "cancelling", "canceling", "queued", "pending"}
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")  # what may become a part of an address
_QUEUE_FULL = "token_limit_exceeded"
_NOT_THERE = {400, 403, 404, 410, 422}
_LIST_PAGES, _PAGE = 20, 100
_TRANSFER_S = 600.0


# ---- files ----


class Part(NamedTuple):
    """One file of requests: its bytes, and the keys of its judgments."""

    content: bytes
    keys: tuple[str, ...]


def next_part(bodies: Mapping[str, Mapping[str, Any]]) -> Part:
    """Return a file with the first requests, by key of their judgment, within the API's limits.

    It has at least one if there is any.
    """
    content, keys = bytearray(), list[str]()
    for key, body in bodies.items():
        request = {"custom_id": key, "method": "POST", "url": URL, "body": body}
        line = json.dumps(request, separators=(",", ":")).encode() + b"\n"
        if keys and (len(keys) == MAX_REQUESTS or len(content) + len(line) > MAX_BYTES):
            break
        content += line
        keys.append(key)
    return Part(bytes(content), tuple(keys))


def replies(content: bytes, keys: Collection[str], api_key: str) -> dict[str, ChatReply]:
    """Return the replies in a file of answers, by key, without ``api_key``.

    The first counts where one is there twice. Lines that are no reply (an error, junk, a key that
    was not asked for) are passed over: their judgments are still missing, and are asked for by
    single requests. A line that was billed and cannot be read is a reply without text.
    """
    wanted, found = set(keys), dict[str, ChatReply]()
    for line in content.splitlines():
        try:
            answer = json.loads(line)
            key, response = answer["custom_id"], answer["response"]
            if key not in wanted or key in found or response["status_code"] != 200:
                continue
            found[key] = read_completion(json.dumps(response["body"]).encode(), api_key)
        except (RequestFailed, JudgeRefused) as error:
            if error.billed is not None:
                found[key] = error.billed
        except (RetryableError, LookupError, ValueError, TypeError, RecursionError):
            continue
    return found


# ---- endpoints ----


class NotThere(RuntimeError):
    """The endpoint declines to show this one batch or file; the message has its words."""


class QueueFull(RuntimeError):
    """The account's queue has no room for a batch; the message has the endpoint's words."""


class Unreachable(JudgeRefused):
    """The endpoint did not answer for as long as it was tried."""


@dataclass(frozen=True)
class Batch:
    """A batch as the endpoint sees it.

    ``status`` is the endpoint's word in lower case (``known``: it is one of those that batches are
    known to have), ``output`` the id of the file with answers,
    ``problem`` why it failed as a whole (``queue_full``: there was no room for it); all are fit to
    be shown.
    """

    id: str
    status: str
    ended: bool
    known: bool
    output: str | None
    problem: str
    queue_full: bool
    done: int


class BatchApi:
    """The endpoint's batches, each exchange repeated while what is wrong may pass.

    All raise ``JudgeRefused``, ``Unreachable`` where it did not pass, and ``NotThere`` where only
    one batch or file is declined.
    """

    def __init__(self, settings: JudgeSettings, breaker: CircuitBreaker, backoff: Backoff) -> None:
        self._connection = Connection(
            settings.base_url,
            settings.api_key,
            endpoint=settings.endpoint,
            timeout=settings.timeout,
            largest=_MAX_ANSWERS,
        )
        self.settings = settings
        self.breaker = breaker
        self.backoff = backoff
        self._key = settings.api_key

    async def upload(self, name: str, content: bytes) -> str:
        """Upload a file of requests; return its id."""
        file = (name, content, "application/jsonl")
        return await self._ask(
            lambda client: client.files.with_raw_response.create(file=file, purpose="batch"),
            lambda answer: self._id(_object(answer).get("id")),
            timeout=_TRANSFER_S,
        )

    async def create(self, file: str, tag: str) -> Batch:
        """Make a batch of an uploaded file; it costs money from now on. Raises ``QueueFull``."""

        async def once() -> Batch:
            # A try whose answer was lost may have made it.
            if made := await self._find(tag):
                return made
            answer = await self._send(
                lambda client: client.batches.with_raw_response.create(
                    input_file_id=file,
                    endpoint=URL,
                    completion_window="24h",
                    metadata={TAG: tag},
                    extra_headers={"Idempotency-Key": tag},
                )
            )
            return self._batch(_object(answer))

        return await self._insist(once)

    async def find(self, tag: str) -> Batch | None:
        """Return the batch with our ``tag``, None if the endpoint has none."""
        return await self._insist(partial(self._find, tag))

    async def look(self, batch: str, tag: str) -> Batch:
        """Return how a batch stands, found by its id or, where that is not known, by our tag."""
        try:
            return await self._ask(
                lambda client: client.batches.with_raw_response.retrieve(self._id(batch)),
                lambda answer: self._batch(_object(answer)),
                one=True,
            )
        except NotThere:
            found = await self.find(tag)
            if found is None:
                raise
            return found

    async def content(self, file: str) -> bytes:
        """Return the content of a file of answers."""
        return await self._ask(
            lambda client: client.files.with_raw_response.content(self._id(file)),
            lambda answer: bytes(answer.content),
            timeout=_TRANSFER_S,
            one=True,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def _ask(
        self,
        call: Call,
        read: Callable[[Answer], _T],
        *,
        timeout: float | None = None,
        one: bool = False,
    ) -> _T:
        """Return what ``read`` makes of the answer to ``call``, which may be of ``one`` batch.

        What was made a moment ago need not be known to every server of the endpoint.
        """

        async def once() -> _T:
            return read(await self._send(call, timeout=timeout, one=one))

        try:
            return await self._insist(once)
        except NotThere:
            await self.breaker.sleep(self.backoff.wait(1, 0.0))
        return await self._insist(once)

    async def _insist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Return what ``call`` returns, called again while what is wrong may pass."""
        try:
            return await retried(
                call, backoff=self.backoff, breaker=self.breaker, within=self.settings.deadline
            )
        except RetryableError as error:
            raise Unreachable(
                f"{self.settings.endpoint}: {error}; what was handed in goes on there, "
                "run again to collect it"
            ) from None

    async def _find(self, tag: str) -> Batch | None:
        """Look for the batch with our ``tag`` among the account's, the newest first."""
        after: str | None = None
        for _ in range(_LIST_PAGES):
            page = _object(await self._send(partial(_listed, after=after)))
            entries = page.get("data")
            if not isinstance(entries, list):
                raise RetryableError("the answer is no list of batches")
            for entry in entries:
                if _at(entry, "metadata", TAG) == tag:
                    return self._batch(entry)
            if not page.get("has_more") or not entries:
                break
            after = self._id(_at(entries, -1, "id"))
        return None

    async def _send(self, call: Call, *, timeout: float | None = None, one: bool = False) -> Answer:
        """Return the answer to ``call``; ``one``: it is about one batch or file."""
        try:
            answer = await self._connection.send(call, timeout=timeout)
            if answer.is_success:
                return answer
            code, _, words = error_details(answer.content)
            said = brief_message(words, self._key)
            if code == _QUEUE_FULL:
                raise QueueFull(said)
            if one and answer.status_code in _NOT_THERE:
                raise NotThere(f"answered {answer.status_code}" + (f" ({said})" if said else ""))
            raise self._connection.failure(answer)
        except RequestFailed as error:  # so would another batch
            raise JudgeRefused(
                f"{self.settings.endpoint}: {error}: it does not take batches so; "
                "unset UGC_JUDGE_MODE"
            ) from None

    def _batch(self, content: Mapping[str, Any]) -> Batch:
        error = _at(content, "errors", "data", 0)
        code = str(_at(error, "code") or "")
        status = brief_message(str(content.get("status")), self._key, 40).lower()
        output = content.get("output_file_id")
        counts = [_at(content, "request_counts", name) for name in ("completed", "failed")]
        return Batch(
            id=self._id(content.get("id")),
            status=status,
            ended=status in _ENDED,
            known=status in _ENDED | _OUT,
            output=self._id(output) if output else None,
            problem=brief_message(str(_at(error, "message") or code)[:2000], self._key),
            queue_full=code == _QUEUE_FULL,
            done=sum(count for count in counts if type(count) is int),
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


def _object(answer: Answer) -> dict[str, Any]:
    try:
        content = json.loads(answer.content)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RetryableError("the answer is no JSON object")
    return content


def _at(value: Any, *path: str | int) -> Any:
    """Return what stands at ``path`` in an answer; None where there is no such place."""
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value
