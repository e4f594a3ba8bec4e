"""One exchange with ``vllm serve``, and what its failure means.

What is tried again is decided in :mod:`~ugc_models.engine.server.remote`. No message shows the key,
or the path of the address, which may hold one too.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from ugc_models.engine.base import EngineOutput, shown
from ugc_models.engine.server import protocol

# The variable that ``vllm serve`` has its own key from. Not ``OPENAI_API_KEY``: that one is the
# judge's, and must not go to whoever serves a model.
KEY = "VLLM_API_KEY"

_MOST_BYTES = 16 << 20  # of an answer: the token ids of a prompt of a million tokens are half of it
_CONNECT_S, _FACTS_S = 10.0, 30.0
_PASSING = {408, 409, 429}  # statuses below 500 that may be another one the next time

_NO_ADDRESS = (
    "base_url: an address such as http://host:8000/v1 is needed, and one only (for several servers "
    "see docs/engine.md)"
)


class BadAddress(ValueError):
    """A ``base_url`` that cannot be one; the message shows nothing of it that may be secret."""


class RemoteError(RuntimeError):
    """The server is of no use as things are; what to do, in one sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(shown(sentence, limit=1_000))


class RetryableError(Exception):
    """A failure that may pass.

    ``away``: nobody is there, or only a proxy that says so. ``busy``: the server asks to be left
    alone. ``lost``: it took the request, and no usable answer came.
    """

    def __init__(self, kind: Literal["away", "busy", "lost"], reason: str) -> None:
        super().__init__(shown(reason, limit=1_000))
        self.kind = kind


class Client:
    """The connection to the server at ``base_url``, which ends in ``/v1`` or not.

    To be used within one event loop. A request and its answer may take ``timeout`` seconds.

    Raises:
        BadAddress: an address that cannot be one.
        RemoteError: a key that cannot be sent, or a proxy that cannot be used.
    """

    def __init__(self, base_url: object, timeout: float) -> None:
        root = _checked(base_url)
        self._key = key = os.environ.get(KEY, "")
        if not key.isascii() or not key.isprintable():
            raise RemoteError(f"{KEY} has characters that no HTTP header can carry")
        self._timeout = timeout
        place = urlsplit(root)
        self.name = f"{place.scheme}://{place.netloc}"  # the address as messages show it
        try:
            # Redirects are not followed: the key would go wherever they say.
            self._http = httpx.AsyncClient(
                base_url=root,
                headers={"Accept-Encoding": "identity"}
                | ({"Authorization": f"Bearer {key}"} if key else {}),
                timeout=httpx.Timeout(timeout, connect=_CONNECT_S, pool=None),
                limits=httpx.Limits(),  # the pipeline bounds what is in flight
                follow_redirects=False,
            )
        except httpx.InvalidURL:
            raise BadAddress(_NO_ADDRESS) from None
        except (ImportError, ValueError) as error:
            raise RemoteError(f"the proxy in the environment cannot be used: {error}") from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def chat(self, index: int, body: bytes) -> tuple[EngineOutput, tuple[int, ...] | None]:
        """Return the output for a chat request, and its prompt's tokens where the server tells.

        Raises:
            RetryableError: worth another try.
            RemoteError: the server answers nobody.
        """
        path = "/v1/chat/completions"
        status, received = await self._exchange("POST", path, self._timeout, body)
        if status == 404 and not isinstance(protocol.json_object(received).get("error"), dict):
            # Not vLLM's own form, but a proxy's: nothing is behind it yet.
            raise RetryableError("away", f"{self.name} answers 404")
        if status != 200:
            return protocol.refusal(index, status, received), None
        try:
            return protocol.read_reply(index, received)
        except ValueError as error:
            raise RetryableError("lost", f"{self.name}: {error}") from None

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the status at ``path`` and the JSON object there, empty if there is none."""
        status, body = await self._exchange("GET", path, _FACTS_S)
        return status, protocol.json_object(body)

    async def _exchange(
        self, method: str, path: str, seconds: float, content: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return status (200, or 400 and more for a refusal) and body, the key cut out of it."""
        headers = {} if content is None else {"Content-Type": "application/json"}
        asked = self._http.stream(method, path, content=content, headers=headers)
        failure = None
        body = bytearray()
        try:
            async with asyncio.timeout(seconds), asked as response:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        size = f"the answer is over {_MOST_BYTES >> 20} MiB"
                        raise RetryableError("lost", f"{self.name}: {size}")
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            said = f"{self.name} does not answer ({type(error).__name__})"
            failure = RetryableError("away", said)
        except (TimeoutError, httpx.TimeoutException):
            failure = RetryableError("lost", f"{self.name}: no answer within {seconds:g} s")
        except httpx.HTTPError as error:
            said = f"{self.name}: the connection broke ({type(error).__name__})"
            failure = RetryableError("lost", said)
        if failure is not None:
            # Raised outside the handlers: httpx's exceptions hold the request and its key.
            raise failure
        status, received = response.status_code, bytes(body)
        if self._key:
            received = received.replace(self._key.encode(), b"...")
        if status in {401, 403}:
            raise RemoteError(f"{self.name} answers {status}: set its key as {KEY}")
        if status == 200 or (400 <= status < 500 and status not in _PASSING):
            return status, received
        words = protocol.message(received)
        raise RetryableError(
            "busy" if status == 429 else "away" if status in {502, 503} else "lost",
            f"{self.name} answers {status}" + (f" ({words})" if words else ""),
        )


def _checked(base_url: object) -> str:
    """Return the address without a trailing ``/v1``.

    A user name or a query is refused: both carry keys, and a key belongs into the environment.
    """
    url = base_url.strip() if isinstance(base_url, str) else ""
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
