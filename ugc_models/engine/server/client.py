"""One exchange with ``vllm serve`` through the ``openai`` client, and what its failure means.

The client's own retries are off: :mod:`~ugc_models.engine.server.remote` decides what is tried
again. No message shows the key, or the path of the address, which may hold one too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import openai

from ugc_models.engine.base import EngineOutput, shown
from ugc_models.engine.server import protocol

KEY = "VLLM_API_KEY"
"""Environment variable with the server's key, the one that ``vllm serve`` has its own from.

Not ``OPENAI_API_KEY``: that one is the judge's, and must not go to whoever serves a model.
"""

_MOST_BYTES = 16 << 20  # of an answer: the token ids of a prompt of a million tokens are half of it
_CONNECT_S, _FACTS_S = 10.0, 30.0
_PASSING = {408, 409, 429}  # statuses below 500 that may be another one the next time

Kind = Literal["away", "busy", "lost"]

_NO_ADDRESS = "base_url: an address such as http://host:8000/v1 is needed"
_ONE_ADDRESS = (
    "base_url: one address is taken; replicas behind it are the business of vLLM's "
    "--data-parallel-size, Ray Serve or a Kubernetes service (README, 'Past one GPU')"
)


class BadAddress(ValueError):
    """A ``base_url`` that cannot be one; the message shows nothing of it that may be secret."""


class RemoteError(RuntimeError):
    """The server is of no use as things are; what to do, in one sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(shown(sentence, limit=1_000))


class RetryableError(Exception):
    """A failure that may pass.

    Attributes:
        kind: ``away``: nobody is there, or only a proxy that says so. ``busy``: the server asks to
            be left alone. ``lost``: it took the request, and no usable answer came.
        wait: seconds that the server asked to be left alone.
    """

    def __init__(self, kind: Kind, reason: str, wait: float = 0) -> None:
        super().__init__(shown(reason, limit=1_000))
        self.kind, self.wait = kind, wait


class Client:
    """The connection to the server at ``base_url``; to be used within one event loop.

    Args:
        base_url: the address, with or without ``/v1``.
        timeout: seconds for one request and its answer.

    Attributes:
        name: the address as messages show it.

    Raises:
        BadAddress: an address that cannot be one.
        RemoteError: a key that cannot be sent.
    """

    def __init__(self, base_url: object, timeout: float) -> None:
        self._root = _checked(base_url)
        self._key = key = os.environ.get(KEY, "")
        if not key.isascii() or not key.isprintable():
            raise RemoteError(f"{KEY} has characters that no HTTP header can carry")
        self._timeout = timeout
        place = urlsplit(self._root)
        self.name = f"{place.scheme}://{place.netloc}"
        # The openai client would take the first two from variables that are the judge's.
        judges = {"OpenAI-Organization", "OpenAI-Project"}
        try:
            self._openai = openai.AsyncOpenAI(
                base_url=f"{self._root}/v1",
                api_key=key or "none",
                max_retries=0,
                timeout=openai.Timeout(timeout, connect=_CONNECT_S, pool=None),
                default_headers={"Accept-Encoding": "identity"},
                http_client=_BoundedClient(judges if key else {*judges, "Authorization"}),
            )
        except Exception as error:
            if type(error).__name__ != "InvalidURL":  # of httpx, or of httpx2 in a newer client
                raise
            raise BadAddress(_NO_ADDRESS) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._openai.close()

    async def chat(
        self, index: int, body: Mapping[str, Any]
    ) -> tuple[EngineOutput, tuple[int, ...] | None]:
        """Return the output for a chat request, and its prompt's tokens where the server tells.

        Raises:
            RetryableError: worth another try.
            RemoteError: the server answers nobody.
        """
        create: Any = self._openai.chat.completions.with_raw_response.create
        model, messages = body["model"], body["messages"]
        more = {name: value for name, value in body.items() if name not in {"model", "messages"}}
        status, received = await self._exchange(
            lambda: create(model=model, messages=messages, extra_body=more), self._timeout
        )
        if status == 404 and not isinstance(protocol.json_object(received).get("error"), dict):
            # Not vLLM's own form, but a proxy's: nothing is behind it yet.
            raise RetryableError("away", f"{self.name} answers 404")
        if status != 200:
            return protocol.refusal(index, status, received), None
        try:
            return protocol.read_reply(index, received)
        except protocol.Unreadable as error:
            raise RetryableError("lost", f"{self.name}: {error}") from None

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the status at ``path`` and the JSON object there, empty if there is none."""
        get: Any = self._openai.get
        status, body = await self._exchange(
            lambda: get(self._root + path, cast_to=httpx.Response), _FACTS_S
        )
        return status, protocol.json_object(body)

    async def _exchange(
        self, call: Callable[[], Awaitable[Any]], seconds: float
    ) -> tuple[int, bytes]:
        """Return status (200, or 400 and more for a refusal) and body, the key cut out of it."""
        response: Any = None
        try:
            async with asyncio.timeout(seconds):
                answer = await call()
            response = getattr(answer, "http_response", answer)
        except openai.APIStatusError as error:
            response = error.response
        except (openai.APIConnectionError, _TooLarge, TimeoutError) as error:
            failure = self._unanswered(error.__cause__ or error, seconds)
        if response is None:
            # Raised outside the handlers: the client's exceptions hold the request and its key.
            raise failure
        status, body = int(response.status_code), bytes(response.content)
        if self._key:
            body = body.replace(self._key.encode(), b"...")
        if status in {401, 403}:
            raise RemoteError(f"{self.name} answers {status}: set its key as {KEY}")
        if status == 200 or (400 <= status < 500 and status not in _PASSING):
            return status, body
        said = protocol.message(body)
        reason = f"{self.name} answers {status}" + (f" ({said})" if said else "")
        kind: Kind = "busy" if status == 429 else "away" if status in {502, 503} else "lost"
        raise RetryableError(kind, reason, _seconds(response.headers.get("retry-after")))

    def _unanswered(self, error: BaseException, seconds: float) -> RetryableError:
        name = type(error).__name__
        if name.startswith("Connect"):  # httpx's ConnectError and ConnectTimeout
            return RetryableError("away", f"{self.name} does not answer ({name})")
        what = f"the connection broke ({name})"
        if isinstance(error, _TooLarge):
            what = f"the answer is over {_MOST_BYTES >> 20} MiB"
        elif name.endswith(("Timeout", "TimeoutError")):
            what = f"no answer within {seconds:g} s"
        return RetryableError("lost", f"{self.name}: {what}")


class _TooLarge(Exception):
    """An answer has too many bytes."""


class _BoundedClient(openai.DefaultAsyncHttpxClient):
    """The HTTP client of the ``openai`` package, which by itself reads answers of any length."""

    def __init__(self, left_out: set[str]) -> None:
        """``left_out`` are headers that are not sent."""
        # The key would go wherever a redirect says.
        super().__init__(follow_redirects=False)
        self._left_out = left_out

    async def send(self, request: Any, *, stream: bool = False, **arguments: Any) -> Any:
        """Return the answer to ``request`` with its whole body, which is not unpacked."""
        for name in self._left_out:
            request.headers.pop(name, None)
        response = await super().send(request, stream=True, **arguments)
        body = bytearray()
        try:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise _TooLarge
        finally:
            await response.aclose()
        headers = {n: v for n, v in response.headers.items() if n.lower() != "content-encoding"}
        return type(response)(
            response.status_code, headers=headers, content=bytes(body), request=request
        )


def _checked(base_url: object) -> str:
    """Return the address without a trailing ``/v1``.

    A user name or a query is refused: both carry keys, and a key belongs into the environment.
    """
    url = base_url.strip() if isinstance(base_url, str) else ""
    if not isinstance(base_url, str) or ";" in url or url.startswith("["):
        raise BadAddress(_ONE_ADDRESS)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or a bracket is missing
        valid = False
    if not valid or any(c.isspace() or not c.isprintable() for c in url):
        raise BadAddress(_NO_ADDRESS)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise BadAddress(f"base_url: must have no user name and no query; a key belongs into {KEY}")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _seconds(retry_after: str | None) -> float:
    """Return the seconds in a ``Retry-After``, 0 where there are none."""
    try:
        seconds = float(retry_after or 0)
    except ValueError:  # a date: nothing that serves a model sends one
        return 0.0
    return seconds if 0 < seconds < 1e9 else 0.0
