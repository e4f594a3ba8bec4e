"""HTTP to an OpenAI-compatible endpoint: whole bodies of bounded size, and no key in any message.

httpx and not the ``openai`` package: that one reads the body of an error to its end, however long a
server makes it, and decompresses what it was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.failures import Passing

if TYPE_CHECKING:
    import httpx

MAX_BODY = 1 << 20
"""Bytes of an answer, errors included."""

_POOLS = 8


@dataclass(frozen=True)
class Answer:
    """A status with its headers (by lower-case name) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300


class Connection:
    """Requests to ``base_url`` with ``api_key``; use it within one event loop."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float) -> None:
        """``timeout`` is in seconds and holds for each whole exchange."""
        self._timeout = timeout
        self._base = base_url.rstrip("/")
        self._pools = [_Pool(client) for client in _clients(api_key)]

    async def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        largest: int = MAX_BODY,
        timeout: float | None = None,
        **more: Any,
    ) -> Answer:
        """Return the answer to one request, any status.

        Args:
            method: of HTTP.
            path: after the base address, with its leading slash.
            content: the body.
            headers: beside the usual ones.
            largest: bytes that the answer's body may have.
            timeout: seconds, None for the connection's own.
            more: other arguments of ``httpx.AsyncClient.stream``: ``params``, ``files``, ``data``.

        Raises:
            Passing: there was no whole answer, or it is too large or packed.
        """
        import httpx

        seconds = self._timeout if timeout is None else timeout
        failure: Passing
        pool = min(self._pools, key=lambda pool: pool.open)
        pool.open += 1
        try:
            async with (
                asyncio.timeout(seconds),
                pool.client.stream(
                    method, f"{self._base}{path}", content=content, headers=headers, **more
                ) as response,
            ):
                return await _whole(response, largest)
        except TimeoutError:
            failure = Passing(f"no answer within {seconds:g} s", silent=True)
        except httpx.ConnectError as error:
            failure = Passing(f"the connection failed ({type(error).__name__})", declined=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            failure = Passing(f"the connection failed ({type(error).__name__})")
        finally:
            pool.open -= 1
        # Raised here, outside the handler: httpx's exception holds the request and its key.
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            await pool.client.aclose()


@dataclass
class _Pool:
    """A client with its connections, and how many requests it has open."""

    client: httpx.AsyncClient
    open: int = 0


def _clients(api_key: str) -> list[httpx.AsyncClient]:
    """Return clients to share the requests among.

    httpx looks through all connections of a pool for every request, more than once: 64 in one pool
    cost three times the processor time of 64 in eight.
    """
    import httpx

    context = httpx.create_ssl_context()
    return [
        httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {api_key}",
                "Accept": "application/json",
                # A small body could unpack to any size.
                "Accept-Encoding": "identity",
                "User-Agent": "ugc-videocap",
            },
            verify=context,
            timeout=None,  # noqa: S113  # asyncio's bounds the whole, which httpx's do not
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            follow_redirects=False,
        )
        for _ in range(_POOLS)
    ]


async def _whole(response: httpx.Response, largest: int) -> Answer:
    packed = response.headers.get("content-encoding", "identity").lower() != "identity"
    if packed:
        raise Passing("the answer is packed, although it was not to be")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > largest:
            break
    if len(body) > largest:
        if response.status_code >= 300:  # what an error says at such length is in its beginning
            return Answer(response.status_code, response.headers, bytes(body[:largest]))
        raise Passing(f"the answer is larger than {largest} bytes")
    return Answer(response.status_code, response.headers, bytes(body))
