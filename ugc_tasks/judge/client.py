"""One exchange with a chat-completions endpoint: a request out, a reply or a failure back.

What is worth another try is for ``tries.py`` to know, what a failure means is in ``failures.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.completion import read_completion
from ugc_tasks.judge.connection import Connection
from ugc_tasks.judge.failures import RequestFailed, explain
from ugc_tasks.judge.reply import ChatReply

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
        return read_completion(answer.body, self._key, self._endpoint)
