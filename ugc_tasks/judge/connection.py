"""The ``openai`` client of an endpoint: whole answers of any status, and no key in any message.

The client's own retries are off: what is tried again, and when, depends on pace and budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ugc_tasks.judge.failures import Passing, Unreadable
from ugc_tasks.judge.reach import CONNECT_S, chain, no_client, unreached
from ugc_tasks.judge.settings import JudgeConfigError

if TYPE_CHECKING:
    import openai

MAX_BODY = 1 << 20
"""Bytes of an answer, errors included."""

Call = Callable[["openai.AsyncOpenAI"], Awaitable[Any]]
"""One call of the client, by one of its ``with_raw_response`` methods."""

POOLS = 8


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
    """Calls to ``base_url`` with ``api_key``; use it within one event loop."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float,
        largest: int = MAX_BODY,
        pools: int = POOLS,
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: of the API, its version included.
            api_key: sent with each request.
            timeout: seconds for each whole exchange.
            largest: bytes of an answer's body.
            pools: clients to share the requests among. httpx looks through all connections of a
                client for every request, more than once: 64 in one cost three times the processor
                time of 64 in eight.

        Raises:
            JudgeConfigError: the environment's proxies or certificates cannot be used.
        """
        self._base_url = base_url
        self._api_key = api_key
        self._timeout = timeout
        self._pools = [_Pool(client) for client in _clients(base_url, api_key, largest, pools)]
        # The client imports what it needs for this when it is first asked for: not in mid-run.
        _ = self._pools[0].client.chat.completions

    async def send(self, call: Call, *, timeout: float | None = None) -> Answer:
        """Return the answer to one call, any status.

        Args:
            call: what to ask; it gets the client.
            timeout: seconds, None for the connection's own.

        Raises:
            Passing: there was no whole answer.
            Unreadable: it is too large, or packed.
            UnicodeEncodeError: what is to be sent is no text.
        """
        import openai

        seconds = self._timeout if timeout is None else timeout
        failure: Passing | Unreadable
        pool = min(self._pools, key=lambda pool: pool.open)
        pool.open += 1
        try:
            async with asyncio.timeout(seconds):
                raw = (await call(pool.client)).http_response
            return Answer(raw.status_code, raw.headers, raw.content)
        except openai.APIStatusError as error:
            there = error.response
            return Answer(there.status_code, there.headers, there.content)
        except TimeoutError:
            failure = Passing(f"no answer within {seconds:g} s", silent=True)
        except (Passing, Unreadable, openai.APIConnectionError) as error:
            failure = self._meaning(error)
        finally:
            pool.open -= 1
        # Raised here, outside the handlers: the client's exceptions hold the request and its key.
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            await pool.client.close()

    def _meaning(self, error: Exception) -> Passing | Unreadable:
        """Return what ``error`` means, raised by or for the HTTP client."""
        for cause in chain(error):
            if isinstance(cause, Unreadable):
                return Unreadable(str(cause), cause.billed)
            if isinstance(cause, Passing):
                return Passing(str(cause), answered=cause.answered)
        return unreached(error, self._base_url, self._api_key)


@dataclass
class _Pool:
    """A client with its connections, and how many requests it has open."""

    client: openai.AsyncOpenAI
    open: int = 0


def _clients(base_url: str, api_key: str, largest: int, count: int) -> list[openai.AsyncOpenAI]:
    import httpx
    import openai

    from ugc_tasks.judge.bounded_http import BoundedClient

    limits = openai.DEFAULT_CONNECTION_LIMITS
    wrong = ""
    try:
        context = httpx.create_ssl_context()
        opened = [
            BoundedClient(largest=largest, verify=context, limits=limits) for _ in range(count)
        ]
    except Exception as error:
        wrong = no_client(error)
    if wrong:  # raised here, outside the handler: the error may show a proxy's password
        raise JudgeConfigError(wrong)
    clients = []
    for http_client in opened:
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
        clients.append(client)
    return clients
