"""One exchange with an endpoint: a request out, a reply or a failure back.

The ``openai`` client sends it. Its own retries are off: what is tried again, and when, depends on
pace and budget (``retry.py``). It reads an answer to its end, however long a server makes it, and
unpacks what it was not to send packed; so the HTTP client below bounds both. No exception that
leaves this module holds the request or its key.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.transport.errors import (
    CERTIFICATES,
    CONNECT_S,
    Declined,
    RequestFailed,
    RetryableError,
    Unreadable,
    brief_message,
    chain,
    error_details,
    error_details_of,
    failure_for,
    no_client,
    unreached,
    without_key,
)
from ugc_tasks.judge.types import ChatReply

if TYPE_CHECKING:
    import openai

MAX_BODY = 1 << 20
"""Bytes of an answer, errors included."""

Answer = Any
"""An answer as ``httpx`` has it; which ``httpx`` that is depends on the version of ``openai``."""

Call = Callable[["openai.AsyncOpenAI"], Awaitable[Any]]
"""One call of the client, by one of its ``with_raw_response`` methods."""

_BUSY, _MOST_POOLS = 8, 8
_PACKINGS = {"gzip", "x-gzip", "deflate"}
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_SCHEMA = "response_format"
_TEXT = (None, "text", "output_text")
_REASONING = {"thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text"}
# Beside OpenAI's names those of Anthropic and of Gemini, which gateways pass on.
_PROMPT_TOKENS = ("prompt_tokens", "input_tokens", "promptTokenCount")
_COMPLETION_TOKENS = ("completion_tokens", "output_tokens", "candidatesTokenCount")
_ERRORS = frozenset(map(str, range(400, 600)))
_SHOWN = 80  # characters of an answer that cannot be read
_TRIES = 3


class Connection:
    """Calls to ``base_url`` with ``api_key``; use it within one event loop.

    Attributes:
        endpoint: the address as messages show it.
        api_key: sent with each request.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        endpoint: str,
        timeout: float,
        largest: int = MAX_BODY,
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: of the API, its version included.
            api_key: sent with each request.
            endpoint: the address as messages show it.
            timeout: seconds for each whole exchange.
            largest: bytes of an answer's body.

        Raises:
            JudgeConfigError: the environment's proxies or certificates cannot be used.
        """
        self.endpoint = endpoint
        self.api_key = api_key
        self._base_url = base_url
        self._timeout = timeout
        self._largest = largest
        self._pools = [self._new_pool()]
        # The client imports what it needs for this when it is first asked for: not in mid-run.
        _ = self._pools[0].client.chat.completions

    def _new_pool(self) -> _Pool:
        return _Pool(_client(self._base_url, self.api_key, self._largest))

    def _least_busy(self) -> _Pool:
        """Return a pool with few requests open.

        httpx looks through all connections of a client for every request, more than once: 64 in one
        cost three times the processor time of 64 in eight.
        """
        pool = min(self._pools, key=lambda pool: pool.open)
        if pool.open >= _BUSY and len(self._pools) < _MOST_POOLS:
            pool = self._new_pool()
            self._pools.append(pool)
        return pool

    async def send(self, call: Call, *, timeout: float | None = None) -> Answer:
        """Return the answer to one call, any status, with its whole body.

        Args:
            call: what to ask; it gets the client.
            timeout: seconds, None for the connection's own.

        Raises:
            RetryableError: there was no whole answer.
            Unreadable: it is too large, or packed.
            RequestFailed: what is to be sent is no text.
        """
        import openai

        seconds = self._timeout if timeout is None else timeout
        failure: RetryableError | RequestFailed
        pool = self._least_busy()
        pool.open += 1
        try:
            async with asyncio.timeout(seconds):
                answer: Answer = (await call(pool.client)).http_response
            return answer
        except openai.APIStatusError as error:
            return error.response
        except TimeoutError:
            failure = RetryableError(f"no answer within {seconds:g} s", silent=True)
        except UnicodeEncodeError:
            failure = RequestFailed("the answer or its reference is not valid Unicode text")
        except (RetryableError, Unreadable, openai.APIConnectionError) as error:
            failure = self._meaning(error)
        finally:
            pool.open -= 1
        # Raised here, outside the handlers: the client's exceptions hold the request and its key.
        raise failure

    def failure(self, answer: Answer) -> Exception:
        """Return the failure that an answer with an error status means."""
        said = error_details(answer.content)
        return failure_for(
            answer.status_code, answer.headers, said, endpoint=self.endpoint, key=self.api_key
        )

    async def aclose(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            await pool.client.close()

    def _meaning(self, error: Exception) -> RetryableError | Unreadable:
        """Return what ``error`` means, raised by or for the HTTP client."""
        for cause in chain(error):
            if isinstance(cause, Unreadable):
                return Unreadable(str(cause), cause.billed)
            if isinstance(cause, RetryableError):
                return RetryableError(str(cause), answered=cause.answered)
        return unreached(error, self._base_url, self.api_key)


@dataclass
class _Pool:
    """A client with its connections, and how many requests it has open."""

    client: openai.AsyncOpenAI
    open: int = 0


def _client(base_url: str, api_key: str, largest: int) -> openai.AsyncOpenAI:
    import openai

    class BoundedClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, *, stream: bool = False, **arguments: Any) -> Any:
            """Return the answer with its whole body, also where a stream is wanted."""
            response = await super().send(request, stream=True, **arguments)
            try:
                body = await _bounded_body(response, largest)
            finally:
                await response.aclose()
            kept = {n: v for n, v in response.headers.items() if n.lower() != "content-encoding"}
            return type(response)(response.status_code, headers=kept, content=body, request=request)

    wrong = ""
    try:
        http_client = BoundedClient(
            follow_redirects=False,  # the key would go wherever they say
            verify=_certificates(*(os.environ.get(name, "") for name in CERTIFICATES)),
            limits=openai.DEFAULT_CONNECTION_LIMITS,
        )
    except Exception as error:
        wrong = no_client(error)
    if wrong:  # raised here, outside the handler: the error may show a proxy's password
        raise JudgeConfigError(wrong)
    client = openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        # asyncio's bounds the whole, which the client's does not
        timeout=openai.Timeout(None, connect=CONNECT_S),
        # A small body could unpack to any size.
        default_headers={"Accept-Encoding": "identity"},
        http_client=http_client,
    )
    # It takes these from the environment as they are, empty or with a line break at the end.
    client.organization = (client.organization or "").strip() or None
    client.project = (client.project or "").strip() or None
    return client


@functools.lru_cache(maxsize=1)
def _certificates(file: str, folder: str) -> ssl.SSLContext:
    """Return the certificates that the environment names, read once: it takes 30 ms."""
    import httpx

    return httpx.create_ssl_context()


async def _bounded_body(response: Any, largest: int) -> bytes:
    """Return the whole body of an answer, and of an error as much as tells what is wrong.

    Raises:
        Unreadable: it is larger than ``largest`` bytes, packed or unpacked, or packed in a way that
            is not known. A model may have answered, so it counts as paid for.
        RetryableError: it is packed and cut off.
    """
    if response.status_code >= 300:
        largest = MAX_BODY
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > largest:
            break
    packing = str(response.headers.get("content-encoding", "")).strip().lower() or "identity"
    what, whole, complete = "", bytes(body), True
    if len(body) > largest:
        what = f"is larger than {largest} bytes"
    elif packing not in {"identity", *_PACKINGS}:
        what, whole = f"is packed ({packing:.40}), although it was not to be", b""
    elif packing in _PACKINGS:
        unpacking = zlib.decompressobj(_ZLIB_OR_GZIP)
        try:
            whole = unpacking.decompress(whole, largest + 1)
        except zlib.error:
            what, whole = f"is called {packing}, and is not", b""
        complete = unpacking.eof
        if len(whole) > largest:
            what = f"is larger than {largest} bytes when it is unpacked"
    if response.status_code >= 300:
        return whole[:largest]
    if what:
        raise Unreadable(f"the answer {what}", ChatReply(""))
    if not complete:
        raise RetryableError("the answer is cut off", answered=True)
    return whole


# ---- chat completions ----


def chat_call(body: Mapping[str, Any]) -> Call:
    """Return the call that sends the request ``body``."""

    def call(client: openai.AsyncOpenAI) -> Awaitable[Any]:
        create: Any = client.chat.completions.with_raw_response.create
        plain = {name: value for name, value in body.items() if name != _SCHEMA}
        # Put into the body as it is: the client would walk through a schema, node by node, for each
        # request, which takes as long as all the rest that it does.
        as_it_is = {_SCHEMA: body[_SCHEMA]} if _SCHEMA in body else None
        answered: Awaitable[Any] = create(**plain, extra_body=as_it_is)
        return answered

    return call


def read_completion(body: bytes, key: str, endpoint: str = "the judge") -> ChatReply:
    """Return the reply in a chat completion, without ``key``.

    What a model said is a reply, also where it has no text (a refusal, reasoning alone, a call of a
    tool). What no model said is a failure. Either way the tokens that were billed are with it.

    Raises:
        Unreadable: it is not a chat completion, and would not be the next time.
        RequestFailed, JudgeRefused: it is an error, although its status said otherwise.
        RetryableError: it is an error that may pass, or nothing at all.
    """
    data = _object(body, key)
    choices = data.get("choices")
    choice = _dict(choices[0] if isinstance(choices, list) and choices else None)
    message, billed = choice.get("message"), _billed(data, key)
    content = _dict(message).get("content")
    error = data.get("error") or choice.get("error")
    if error and not content:
        raise _error(error, billed, key, endpoint)
    if not isinstance(message, dict):
        if reason := _dict(data.get("promptFeedback")).get("blockReason"):  # Gemini's
            said = brief_message(str(reason), key)
            raise RequestFailed(f"{endpoint} blocked it ({said})", billed)
        if choices == []:
            raise Declined(f"{endpoint} answered with an empty list of choices", billed)
        raise _unreadable("is not a chat completion", body, key, billed)
    text, lacks = _text(message)
    if text is None:
        found = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        raise _unreadable("has no text that can be read", found, key, billed)
    return replace(
        billed or ChatReply(""),
        text=without_key(text, key),
        finish_reason=_name(choice.get("finish_reason"), key),
        lacks=lacks,
    )


def _object(body: bytes, key: str) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        pass
    else:
        if isinstance(data, list):  # Gemini's errors
            data = next((e for e in data if isinstance(e, dict) and e.get("error")), None)
        if isinstance(data, dict):
            return data
        raise _unreadable("is not a chat completion", body, key)
    start = body[:200].lstrip().lower()
    if not start and not body.strip():
        raise RetryableError("the answer is empty", answered=True, most_tries=_TRIES)
    if start.startswith((b"data:", b"event:", b"id:", b": ")):
        what = "is an event stream, which was not asked for"
        raise _unreadable(what, body, key, ChatReply(""))
    if start.startswith(b"<"):
        raise _unreadable("is a web page", body, key)
    # It may be a model's, cut off or with something in it that JSON does not have.
    raise _unreadable("is not JSON", body, key, ChatReply("") if start[:1] == b"{" else None)


def _text(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a message's text, and why no scores can be read in it.

    There is no text at all (None) where the content is of a kind that is not known.
    """
    content, refusal = message.get("content"), message.get("refusal")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(content, dict | list):
        texts, refusals, others = list[str](), list[str](), set[str]()
        for part in content if isinstance(content, list) else [content]:
            fields = {"text": part} if isinstance(part, str) else _dict(part)
            kind = fields.get("type")
            if isinstance(fields.get("text"), str) and kind in _TEXT:
                texts.append(fields["text"])
            elif kind == "refusal" and isinstance(fields.get("refusal"), str):
                refusals.append(fields["refusal"])
            else:
                others.add(str(kind))
        if others - _REASONING and not texts and not refusals:
            return None, None
        content, refusal = "".join(texts), refusal or "".join(refusals)
        reasoning = reasoning or others & _REASONING
    if not isinstance(content, str | None):
        return None, None
    if content and content.strip():
        return content, None
    # A model that declines under a JSON schema says so in "refusal", without content.
    if isinstance(refusal, str) and refusal.strip():
        return refusal, "the judge declined to answer"
    if message.get("tool_calls") or message.get("function_call"):
        return content or "", "the judge called a tool instead of answering"
    return content or "", "the reply has reasoning and no text" if reasoning else None


def _billed(data: Mapping[str, Any], key: str) -> ChatReply | None:
    """Return what a completion says of itself and its tokens; None where no model answered."""
    usage = data.get("usage") or data.get("usageMetadata")
    if not isinstance(usage, dict) and not data.get("choices"):
        return None
    stated = _dict(usage)
    prompt, completion = (
        next((_count(stated[name]) for name in names if name in stated), None)
        for names in (_PROMPT_TOKENS, _COMPLETION_TOKENS)
    )
    model, fingerprint = data.get("model"), data.get("system_fingerprint")
    return ChatReply(
        "",
        model=_name(model, key),
        fingerprint=_name(fingerprint, key),
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


def _error(error: object, billed: ChatReply | None, key: str, endpoint: str) -> Exception:
    """Return what an error in a completion's place means, by the status in it if there is one."""
    said = error_details_of({"error": error})
    code = _dict(error).get("code")
    if isinstance(code, int | str) and str(code) in _ERRORS:
        failure = failure_for(int(code), {}, said, endpoint=endpoint, key=key)
    else:
        words = brief_message(said[2] or said[0], key) or "it does not say why"
        failure = Declined(f"{endpoint} answered with an error ({words})")
    if isinstance(failure, RequestFailed):
        failure.billed = billed
    elif isinstance(failure, RetryableError) and not failure.throttled:
        failure.most_tries = _TRIES  # the status of the answer itself did not say that it will pass
    return failure


def _unreadable(what: str, body: bytes, key: str, billed: ChatReply | None = None) -> Unreadable:
    begins = brief_message(body.decode("utf-8", "replace"), key, _SHOWN)
    return Unreadable(f"the answer {what}: {begins}", billed)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: object, key: str) -> str | None:
    return brief_message(value, key, 100) if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None
