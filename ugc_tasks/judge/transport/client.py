"""One exchange with an endpoint: a request out, a reply or a failure back.

The ``openai`` client sends it. Its own retries are off: what is tried again, and when, depends on
pace and budget (``retry.py``). It reads an answer to its end, however long a server makes it, and
unpacks what it was not to send packed; so the HTTP client below lets through neither. No exception
that leaves this module holds the request or its key.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.settings import Azure, JudgeConfigError, JudgeSettings
from ugc_tasks.judge.transport.errors import (
    CONNECT_S,
    MODERATED,
    REDACTED,
    Declined,
    JudgeRefused,
    RequestFailed,
    RetryableError,
    Unreadable,
    brief_message,
    chain,
    failure_for,
    no_client,
    pattern_of,
    unreached,
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

_TEXT = (None, "text", "output_text")
_REASONING = {"thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text"}
_ERRORS = frozenset(map(str, range(400, 600)))
_OF_A_MODEL = (b"{", b"data:", b"event:", b"id:", b":")  # begin a completion, or a stream of one
_PLAIN = ("model", "temperature", "messages")
_PROBE_TRIES, _PROBE_WAIT_S = 3, 5.0
_PROBE_TOKENS = 16  # the fewest that every model takes
_SHOWN = 80  # characters of an answer that cannot be read
_LONGEST_NAME = 100  # of a model or a fingerprint; who shows it makes it harmless


class Connection:
    """Calls to ``base_url`` with ``api_key``; use it within one event loop."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        endpoint: str,
        timeout: float,
        largest: int = MAX_BODY,
        *,
        azure: Azure | None = None,
        direct: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Open nothing yet; raise ``JudgeConfigError`` if proxies or certificates cannot be used.

        ``timeout`` is in seconds, for a whole exchange, and ``largest`` in bytes of a body.
        ``direct``: by no proxy. ``names``: see ``JudgeSettings``.
        """
        self.endpoint = endpoint  # the address as messages show it
        self.api_key = api_key
        self._base_url = base_url
        self._timeout = timeout
        self._names = names or {}
        self._client = _client(base_url, api_key, largest, azure, direct=direct)
        _ = self._client.chat.completions  # which imports a lot: now, and not in mid-run

    def move(self, base_url: str) -> None:
        """From now on send to another address, which means the same endpoint."""
        self._base_url = self._client.base_url = base_url

    async def send(self, call: Call, *, timeout: float | None = None) -> Answer:
        """Return the answer to one call, any status, with its whole body.

        ``timeout`` is in seconds, None for the connection's own. Raises ``RetryableError`` where
        there was no whole answer, ``Unreadable`` where it is too large or packed, and
        ``RequestFailed`` where what is to be sent is no text.
        """
        import openai

        seconds = self._timeout if timeout is None else timeout
        failure: RetryableError | RequestFailed
        try:
            async with asyncio.timeout(seconds):
                answer: Answer = (await call(self._client)).http_response
            return answer
        except openai.APIStatusError as error:
            return error.response
        except TimeoutError:
            failure = RetryableError(f"no answer within {seconds:g} s")
        except UnicodeEncodeError:
            failure = RequestFailed("the answer or its reference is not valid Unicode text")
        except openai.APIConnectionError as error:
            ours = next((each for each in chain(error) if isinstance(each, Unreadable)), None)
            failure = unreached(error, self._base_url, self.api_key)
            if ours is not None:
                failure = Unreadable(str(ours), ours.billed)
        # Raised here, outside the handlers: the client's exceptions hold the request and its key.
        raise self.named(failure)

    def failure(self, answer: Answer) -> Exception:
        """Return the failure that an answer with an error status means."""
        status, headers, body = answer.status_code, answer.headers, answer.content
        return self.named(failure_for(status, headers, body, self.endpoint, self.api_key))

    def named(self, error: Exception) -> Exception:
        """Return an error that names the variables by which this endpoint is set."""
        said = str(error)
        for name, theirs in self._names.items():
            said = re.sub(rf"(?<!\w){name}", theirs, said)
        if isinstance(error, RetryableError):
            error.reason = said
        else:
            error.args = (said, *error.args[1:])
        return error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def _client(
    base_url: str, api_key: str, largest: int, azure: Azure | None, *, direct: bool
) -> openai.AsyncOpenAI:
    import openai

    class BoundedClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, *, stream: bool = False, **arguments: Any) -> Any:
            """Return the answer with its body, of an error as much as tells what is wrong."""
            response = await super().send(request, stream=True, **arguments)
            packed = response.headers.pop("content-encoding", "identity").strip().lower()
            most = largest if response.is_success else MAX_BODY
            body = bytearray()
            try:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > most:
                        break
            finally:
                await response.aclose()
            what = f"larger than {most} bytes" if len(body) > most else ""
            if packed != "identity":
                what, body = f"packed ({packed:.40}), although it was not to be", bytearray()
            if what and response.is_success:  # a model may have answered: it counts as paid for
                raise Unreadable(f"the answer is {what}", ChatReply(""))
            content, headers = bytes(body[:most]), response.headers
            return type(response)(
                response.status_code, headers=headers, content=content, request=request
            )

    wrong = ""
    try:
        # The key would go wherever a redirect says.
        http_client = BoundedClient(follow_redirects=False, trust_env=not direct)
    except Exception as error:
        wrong = no_client(error)
    if wrong:  # raised here, outside the handler: the error may show a proxy's password
        raise JudgeConfigError(wrong)
    common: dict[str, Any] = {
        "max_retries": 0,
        # asyncio's bounds the whole, which the client's does not
        "timeout": openai.Timeout(None, connect=CONNECT_S),
        # A small body could unpack to any size.
        "default_headers": {"Accept-Encoding": "identity"},
        "http_client": http_client,
    }
    client: openai.AsyncOpenAI
    if azure is None:
        client = openai.AsyncOpenAI(base_url=base_url, api_key=api_key, **common)
    else:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=azure.address,
            azure_deployment=azure.deployment,
            api_version=azure.version,
            api_key=None if azure.token else api_key,
            azure_ad_token=api_key if azure.token else None,
            **common,
        )
    # It takes these from the environment as they are, empty or with a line break at the end.
    client.organization = (client.organization or "").strip() or None
    client.project = (client.project or "").strip() or None
    return client


# ---- a deployment of Azure ----


def model_behind(settings: JudgeSettings) -> str:
    """Return the model that answers at a deployment of Azure: the deployment's name may be any.

    It is asked for a few tokens, in a thread of its own. Raises ``JudgeRefused``, ``RequestFailed``
    or ``RetryableError``.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, _model_behind(settings)).result()


async def _model_behind(settings: JudgeSettings) -> str:
    connection = Connection(
        settings.base_url,
        settings.api_key,
        settings.endpoint,
        settings.timeout,
        azure=settings.azure,
        names=settings.names,
    )
    said = [{"role": "user", "content": "Say 1."}]
    body: dict[str, Any] = {"model": str(settings.model), "messages": said}
    # Older versions of the API do not know the parameter, and some models need more room to think.
    bodies = [{**body, "max_completion_tokens": _PROBE_TOKENS}, *([body] * _PROBE_TRIES)]
    try:
        for left, each in zip(range(_PROBE_TRIES, -1, -1), bodies, strict=True):
            try:
                answer = await connection.send(chat_call(each))
                if answer.is_success:
                    reply = read_completion(answer.content, settings.api_key, settings.endpoint)
                    return reply.model or str(settings.model)
                failure = connection.failure(answer)
                if answer.status_code not in {400, 422} or not left:
                    raise failure
            except RetryableError as error:
                if error.unreached or not left:
                    raise
                await asyncio.sleep(min(error.retry_after, _PROBE_WAIT_S))
        raise AssertionError("the last try returns or raises")
    finally:
        await connection.aclose()


# ---- chat completions ----


def chat_call(body: Mapping[str, Any]) -> Call:
    """Return the call that sends the request ``body``."""
    # What is put into the body as it is: the client would walk through a schema, node by node, for
    # each request, which takes as long as all the rest that it does; and it may not know the rest.
    extra = {name: value for name, value in body.items() if name not in _PLAIN}
    plain = {name: body[name] for name in _PLAIN if name in body}
    return lambda client: client.chat.completions.with_raw_response.create(
        **plain, extra_body=extra or None
    )


def read_completion(body: bytes, key: str, endpoint: str = "the judge") -> ChatReply:
    """Return the reply in a chat completion, without ``key``, or raise what it is instead.

    What a model said is a reply, also where it has no text (a refusal, reasoning alone, a call of a
    tool). Whatever was billed is with the reply or the failure.
    """
    if not body.strip():
        raise RetryableError("the answer is empty")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        # It may be a model's, cut off or as a stream. A page is a gateway's, and may pass.
        billed = ChatReply("") if body.lstrip().startswith(_OF_A_MODEL) else None
        raise _unreadable("is not a chat completion", body, key, billed) from None
    data = _dict(data)
    choices, billed = data.get("choices"), _billed(data, key)
    choice = _dict(choices[0] if isinstance(choices, list) and choices else None)
    message = choice.get("message")
    content = _dict(message).get("content")
    error = data.get("error") or choice.get("error")
    if error and not content:
        raise _error(error, billed, key, endpoint)
    if choices == []:
        begins = _beginning(body, key)
        kind = RequestFailed if MODERATED.search(begins) else Declined
        raise kind(f"{endpoint} answered with an empty list of choices: {begins}", billed)
    if not isinstance(message, dict):
        raise _unreadable("is not a chat completion", body, key, billed)
    text, lacks = _text(message)
    if text is None:
        found = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        raise _unreadable("has no text that can be read", found, key, billed)
    return replace(
        billed or ChatReply(""),
        text=pattern_of(key).sub(REDACTED, text),
        finish_reason=_name(choice.get("finish_reason"), key),
        lacks=lacks,
    )


def _text(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a message's text (None: its content is of no known kind), and why it is no answer."""
    content = message.get("content")
    texts, refusals, others = list[str](), list[Any]([message.get("refusal")]), set[str]()
    for part in content if isinstance(content, list) else [content or ""]:
        fields = {"text": part} if isinstance(part, str) else _dict(part)
        kind = fields.get("type")
        if kind in _TEXT and isinstance(fields.get("text"), str):
            texts.append(fields["text"])
        elif kind == "refusal":
            refusals.append(fields.get("refusal"))
        else:
            others.add(str(kind))
    text = "".join(texts)
    if text.strip():
        return text, None
    # A model that declines under a JSON schema says so in "refusal", without content.
    if refusal := "".join(each for each in refusals if isinstance(each, str)).strip():
        return refusal, "the judge declined to answer"
    if others - _REASONING and not texts:
        return None, None
    if message.get("tool_calls") or message.get("function_call"):
        return text, "the judge called a tool instead of answering"
    reasoning = others & _REASONING or message.get("reasoning_content") or message.get("reasoning")
    return text, "the reply has reasoning and no text" if reasoning else None


def _billed(data: Mapping[str, Any], key: str) -> ChatReply | None:
    """Return what a completion says of itself and its tokens; None where no model answered."""
    usage = _dict(data.get("usage") or data.get("usageMetadata"))  # Gemini's
    prompt = _count(usage.get("prompt_tokens"))
    of_prompt = _dict(usage.get("prompt_tokens_details"))
    of_completion = _dict(usage.get("completion_tokens_details"))
    if not usage and not data.get("choices"):
        return None
    return ChatReply(
        "",
        model=_name(data.get("model"), key),
        fingerprint=_name(data.get("system_fingerprint"), key),
        prompt_tokens=prompt,
        completion_tokens=_completion_tokens(usage, prompt),
        cached_tokens=_count(of_prompt.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))),
        reasoning_tokens=_count(of_completion.get("reasoning_tokens")),
    )


def _completion_tokens(usage: Mapping[str, Any], prompt: int | None) -> int | None:
    """Return the tokens that are billed; some count what was thought in the total alone."""
    completion, total = _count(usage.get("completion_tokens")), _count(usage.get("total_tokens"))
    if completion is None or prompt is None or total is None:
        return completion
    return max(completion, total - prompt)


def _error(error: object, billed: ChatReply | None, key: str, endpoint: str) -> Exception:
    """Return what an error in a completion's place means, by the status in it if there is one."""
    body, code = json.dumps({"error": error}).encode(), str(_dict(error).get("code"))
    if code not in _ERRORS:
        return Declined(f"{endpoint} answered with an error ({_beginning(body, key)})", billed)
    failure = failure_for(int(code), {}, body, endpoint, key)
    if isinstance(failure, RetryableError):
        failure.declined = billed is None  # what a model answered may have to be paid for
    elif isinstance(failure, RequestFailed | JudgeRefused):
        failure.billed = billed
    return failure


def _unreadable(what: str, body: bytes, key: str, billed: ChatReply | None = None) -> Unreadable:
    return Unreadable(f"the answer {what}: {_beginning(body, key)}", billed)


def _beginning(body: bytes, key: str) -> str:
    return brief_message(body.decode("utf-8", "replace"), key, _SHOWN)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: object, key: str) -> str | None:
    return pattern_of(key).sub(REDACTED, value)[:_LONGEST_NAME] if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None
