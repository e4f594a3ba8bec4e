"""Several servers of one model: their addresses, and which of them takes the next request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_FIRST_REST, _LONGEST_REST = 0.5, 15.0
"""Seconds that a server is left alone after a first failure, doubled with each further one."""

_LONGEST_TOLD = 120.0
"""The most that a server's own Retry-After can ask for."""


class BadAddress(ValueError):
    """A ``base_url`` that cannot be one; the message shows nothing of it that may be secret."""


def addresses(value: str | Sequence[str]) -> list[str]:
    """Return the addresses in a ``base_url`` argument, without a trailing ``/v1``, each once.

    Args:
        value: one address, several separated by ``;``, a JSON list of them, or a sequence.

    Raises:
        BadAddress: none, one that is not http or https, or one with a user name or a query: both
            carry keys, and a key belongs into the environment.
    """
    if isinstance(value, str):
        value = _listed(value)
    found = [item for item in value if isinstance(item, str) and item.strip()]
    if not found or len(found) != len(value):
        raise BadAddress("base_url: an address such as http://host:8000/v1 is needed")
    return list(dict.fromkeys(_checked(item.strip(), n) for n, item in enumerate(found, 1)))


@dataclass(eq=False)
class Server:
    """One address and how it has been doing.

    Attributes:
        url: without ``/v1``.
        in_flight: requests that it has now.
        failures: in a row.
        rested: the clock's time before which it gets no request.
        examined: whether what it serves is known; to be forgotten when it has been away.
        unfit: why it gets none ever again.
    """

    url: str
    in_flight: int = 0
    failures: int = 0
    rested: float = 0.0
    examined: bool = False
    unfit: str | None = None

    @property
    def name(self) -> str:
        """Return the address as messages show it: a path may hold a key as well."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Count a request for as long as it is there."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


class Servers:
    """Chooses among servers: fewest requests in flight first, those that failed after a rest."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.all = [Server(url) for url in urls]
        self._clock = clock

    def pick(self) -> tuple[Server | None, float]:
        """Return the server for the next request and the seconds to wait before asking again.

        The server is None, and the wait above 0, while all have to rest. With none fit to be asked
        they are None and 0.
        """
        fit = [server for server in self.all if server.unfit is None]
        now = self._clock()
        ready = [server for server in fit if server.rested <= now]
        if ready:
            return min(ready, key=lambda server: server.in_flight), 0.0
        return None, min((server.rested - now for server in fit), default=0.0)

    def resting(self, server: Server) -> bool:
        """Return whether a server is to be left alone for now."""
        return server.rested > self._clock()

    def failed(self, server: Server, told: float = 0.0) -> None:
        """Let a server rest, as long as it asked for (``told`` seconds) or longer each time."""
        # Ten requests that one crash cut off are one failure, not ten.
        if not self.resting(server):
            rest = min(_FIRST_REST * 2.0 ** min(server.failures, 10), _LONGEST_REST)
            server.failures += 1
            server.rested = self._clock() + rest
        server.rested = max(server.rested, self._clock() + min(told, _LONGEST_TOLD))

    def answered(self, server: Server) -> None:
        """Forget a server's failures."""
        server.failures = 0


def _listed(value: str) -> list[str]:
    if not value.lstrip().startswith("["):
        return [item for item in value.split(";") if item.strip()]
    try:
        listed = json.loads(value)
    except ValueError:
        raise BadAddress("base_url: the list of addresses is not valid JSON") from None
    return listed if isinstance(listed, list) else []


def _checked(url: str, number: int) -> str:
    which = f"base_url, address {number}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none
        valid = False
    if not valid or any(c.isspace() or not c.isprintable() for c in url):
        raise BadAddress(f"{which}: not an address such as http://host:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise BadAddress(
            f"{which}: must have no user name and no query; a key belongs into VLLM_API_KEY"
        )
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
