"""HTTP with one ``vllm serve``: a try at a time, each failure named by what it asks for.

The body of a request is some megabytes and the same in every try: it is sent as the bytes that it
is. That, and a bound on what is read, is why this speaks HTTP by itself.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ugc_models.engine.base import EngineOutput
from ugc_models.engine.family import Family
from ugc_models.engine.server import probe, protocol
from ugc_models.engine.server.failures import Away, Busy, Lost, RemoteError
from ugc_models.engine.server.servers import Server

_MOST_BYTES = 16 << 20  # a prompt of a million tokens, all of them listed, is half of it
_CONNECT_SECONDS = 10.0
_FACT_SECONDS = 30.0

_REFUSING = range(400, 500)
_PASSING = {408, 409, 429}  # of those, the ones that may be answered the next time


@dataclass(frozen=True)
class Facts:
    """What a server serves.

    Attributes:
        model: the name to ask for.
        root: the checkpoint that it was started from, None where it does not say.
        max_model_len: tokens of prompt and answer together, None likewise.
        version: vLLM's.
        found: how it treats a clip.
    """

    model: str
    root: str | None
    max_model_len: int | None
    version: str
    found: probe.Findings

    def difference(self, other: Facts) -> str | None:
        """Return in what two servers differ, None for nothing that changes a caption."""
        pairs = {
            "model": (self.model, other.model),
            "max_model_len": (self.max_model_len, other.max_model_len),
            "vLLM version": (self.version, other.version),
            "token order of sound in video": (self.found, other.found),
        }
        return next((name for name, (ours, theirs) in pairs.items() if ours != theirs), None)


class Client:
    """Connections to servers; to be used within one event loop.

    Args:
        key: sent as a bearer token, nothing where empty.
        timeout: seconds for one request and its answer.

    Raises:
        RemoteError: a key that cannot be sent.
    """

    def __init__(self, key: str, timeout: float) -> None:
        import httpx

        if not key.isascii() or not key.isprintable():
            raise RemoteError("VLLM_API_KEY has characters that no HTTP header can carry")
        self._key = key
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    def __repr__(self) -> str:
        return f"Client(timeout={self._timeout})"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(
        self, server: Server, index: int, body: bytes
    ) -> tuple[EngineOutput, tuple[int, ...] | None]:
        """Return the answer to a chat request, and its prompt's tokens where the server tells.

        Raises:
            Passing: worth another try.
            RemoteError: the server answers nobody.
        """
        status, headers, received = await self._exchange(
            server, "POST", "/v1/chat/completions", self._timeout, body
        )
        received = self._without_key(received)
        if status in _REFUSING and status not in _PASSING and not _of_a_proxy(status, received):
            self._refuse_all(server, status)
            return protocol.refusal(index, status, received), None
        if status != 200:
            self._fail(server, status, headers, received)
        try:
            reply = protocol.read_reply(received)
        except protocol.Unreadable as error:
            raise Lost(f"{server.name}: {error}") from None
        return protocol.answer(index, reply), reply.prompt_ids

    async def facts(self, server: Server, model: str | None, family: Family) -> Facts:
        """Return what a server serves.

        Args:
            server: the server.
            model: a name or the checkpoint's; None for the only one served.
            family: the checkpoint's.

        Raises:
            Passing: it is away.
            RemoteError: it does not serve this model, or not as this engine needs it.
        """
        status, body = await self._get(server, "/v1/models")
        listed = _object(body).get("data")
        if status != 200 or not isinstance(listed, list):
            # A cluster's proxy says so too while what is behind it starts.
            raise Away(
                f"{server.name} answers {status} and no list of models to GET /v1/models: no "
                "OpenAI-compatible server is there"
            )
        card = _chosen(server, listed, model)
        _, body = await self._get(server, "/version")
        version = _object(body).get("version")
        root, length = card.get("root"), card.get("max_model_len")
        length = length if type(length) is int and length > 0 else None
        answer, prompt_ids = await self.ask(
            server, 0, protocol.chat_body(probe.request(family), card["id"], length)
        )
        if answer.error is not None and not answer.overflow:
            raise RemoteError(f"{server.name}: a clip with sound cannot be asked: {answer.error}")
        return Facts(
            model=card["id"],
            root=root if isinstance(root, str) else None,
            max_model_len=length,
            version=version if isinstance(version, str) else "of unknown version",
            found=probe.findings(prompt_ids, family),
        )

    async def _get(self, server: Server, path: str) -> tuple[int, bytes]:
        status, headers, body = await self._exchange(server, "GET", path, _FACT_SECONDS)
        if status >= 500 or status in _PASSING:
            self._fail(server, status, headers, body)
        self._refuse_all(server, status)
        return status, body

    async def _exchange(
        self, server: Server, method: str, path: str, seconds: float, body: bytes | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        import httpx

        headers = {"Content-Type": "application/json"} if body is not None else {}
        failure: Exception
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(
                    method, server.url + path, content=body, headers=headers
                ) as response,
            ):
                received = bytearray()
                async for chunk in response.aiter_raw():
                    received += chunk
                    if len(received) > _MOST_BYTES:
                        raise Lost(f"{server.name}: the answer is over {_MOST_BYTES >> 20} MiB")
                return response.status_code, response.headers, bytes(received)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = Away(f"{server.name} does not answer ({type(error).__name__})")
        except (TimeoutError, httpx.TimeoutException):
            failure = Lost(f"{server.name}: no answer within {seconds:g} s")
        except httpx.InvalidURL:
            failure = RemoteError(f"{server.name} is no address; check base_url")
        except httpx.HTTPError as error:
            failure = Lost(f"{server.name}: the connection broke ({type(error).__name__})")
        # Raised here, outside the handler: httpx's exceptions hold the request and its key.
        raise failure

    def _refuse_all(self, server: Server, status: int) -> None:
        if status in {401, 403}:
            raise RemoteError(f"{server.name} answers {status}: set its key as VLLM_API_KEY")

    def _fail(
        self, server: Server, status: int, headers: Mapping[str, str], body: bytes
    ) -> NoReturn:
        said = protocol.message(self._without_key(body))
        reason = f"{server.name} answers {status}" + (f" ({said})" if said else "")
        wait = _retry_after(headers)
        if status == 429:
            raise Busy(reason, wait)
        if status in {404, 502, 503}:
            raise Away(reason, wait)
        raise Lost(reason, wait)

    def _without_key(self, body: bytes) -> bytes:
        return body.replace(self._key.encode(), b"...") if self._key else body


def _chosen(server: Server, cards: list[Any], model: str | None) -> dict[str, Any]:
    named = [c for c in cards if isinstance(c, dict) and isinstance(c.get("id"), str)]
    names = ", ".join(repr(card["id"]) for card in named) or "nothing"
    if model is None:
        if len(named) != 1:
            raise RemoteError(f"{server.name} serves {names}: say which by model=")
        return named[0]
    by_name = [c for c in named if c["id"] == model] or [c for c in named if c.get("root") == model]
    if not by_name:
        raise RemoteError(f"{server.name} serves {names}, not {model!r}: check model= and base_url")
    return by_name[0]


def _of_a_proxy(status: int, body: bytes) -> bool:
    """Return whether a 404 is not vLLM's own: nothing is behind the proxy yet."""
    return status == 404 and not isinstance(_object(body).get("error"), dict)


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds a server asks to wait, 0 where it asks for nothing intelligible."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return seconds if 0 < seconds < 1e9 else 0.0
