"""One exchange with a chat-completions endpoint: a request out, a reply or a failure back.

What is worth another try is for ``tries.py`` to know, what a failure means is in ``failures.py``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.connection import Connection
from ugc_tasks.judge.failures import Passing, RequestFailed, explain
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.secret import brief_message, without_key

if TYPE_CHECKING:
    import openai

_SCHEMA = "response_format"

NO_TEXT = "the answer or its reference is not valid Unicode text"


class ChatClient:
    """A client for chat completions over ``connection``."""

    def __init__(self, connection: Connection, *, endpoint: str, api_key: str) -> None:
        """``endpoint`` is the address as messages show it."""
        self._connection = connection
        self._endpoint = endpoint
        self._key = api_key

    async def send(self, body: Mapping[str, Any], *, timeout: float | None = None) -> ChatReply:
        """Return the reply to the request ``body``, asked once.

        Raises:
            Passing, RequestFailed, JudgeRefused: there is none.
        """

        def call(client: openai.AsyncOpenAI) -> Awaitable[Any]:
            create: Any = client.chat.completions.with_raw_response.create
            plain = {name: value for name, value in body.items() if name != _SCHEMA}
            # Put into the body as it is: the client would walk through a schema, node by node,
            # for each request, which takes as long as all the rest that it does.
            as_it_is = {_SCHEMA: body[_SCHEMA]} if _SCHEMA in body else None
            answered: Awaitable[Any] = create(**plain, extra_body=as_it_is)
            return answered

        try:
            answer = await self._connection.send(call, timeout=timeout)
        except UnicodeEncodeError:
            raise RequestFailed(NO_TEXT) from None
        if not answer.ok:
            raise explain(
                answer.status, answer.headers, answer.body, endpoint=self._endpoint, key=self._key
            )
        return read_completion(answer.body, self._key)


def read_completion(body: bytes, key: str) -> ChatReply:
    """Return the reply in a chat completion, without ``key``.

    Raises:
        Passing: it is none. That may be a proxy's bad moment.
    """
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        message = choice["message"]
        # A model that declines under a JSON schema says so in "refusal", without content.
        content = message.get("content") or message.get("refusal") or ""
        if not isinstance(content, str):
            raise TypeError
        usage = data.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Passing("the answer is not a chat completion") from None
    usage = usage if isinstance(usage, dict) else {}

    def name(value: object) -> str | None:
        return brief_message(value, key, 100) if isinstance(value, str) else None

    return ChatReply(
        text=without_key(content, key),
        finish_reason=name(choice.get("finish_reason")),
        model=name(data.get("model")),
        fingerprint=name(data.get("system_fingerprint")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
        return value
    return None
