"""Servers that must be one engine: each is examined before its first request, and after an absence.

A server that comes back may have been started with another model, another vLLM or without the
correction of positions. Its captions would be mixed among the others', and nothing would show it.
"""

from __future__ import annotations

import asyncio

from ugc_models.display import logger
from ugc_models.engine.base import EngineOutput
from ugc_models.engine.family import Family
from ugc_models.engine.server.client import Client, Facts
from ugc_models.engine.server.failures import Away, Passing, RemoteError
from ugc_models.engine.server.servers import Server, Servers

_log = logger(__name__)

Answered = tuple[EngineOutput, tuple[int, ...] | None]
"""An answer, and its prompt's tokens where the server shows them."""


class Fleet:
    """One or several servers of one model; to be used within one event loop.

    Args:
        servers: which of them gets a request.
        client: how it gets there.
        model, family: see :meth:`ugc_models.engine.server.client.Client.facts`.

    Attributes:
        facts: what all of them serve; None before :meth:`start`.
    """

    def __init__(self, servers: Servers, client: Client, model: str | None, family: Family) -> None:
        self.facts: Facts | None = None
        self._servers = servers
        self._client = client
        self._model = model
        self._family = family
        self._examining = {server: asyncio.Lock() for server in servers.all}

    async def start(self, patience: float) -> None:
        """Examine all; those that are away are left for later where another is there.

        Raises:
            RemoteError: none answers within ``patience`` seconds, or one cannot be used.
        """
        found = await asyncio.gather(*(self._first(s, patience) for s in self._servers.all))
        if unfit := [server.unfit for server in self._servers.all if server.unfit]:
            raise RemoteError(unfit[0])
        problems = [problem for problem in found if problem is not None]
        if self.facts is None:
            raise RemoteError(
                f"{problems[0]}; start the server, or check base_url (a server that loads its "
                "model answers when that is done)"
            )
        for problem in problems:
            _log.warning("%s; going on without it until it answers.", problem)

    async def ask(self, index: int, body: bytes) -> Answered:
        """Try once, on the server that has the least to do; wait for one if all have to rest.

        Raises:
            Passing: worth another try.
            RemoteError: no server is left that could be asked.
        """
        server = await self._free()
        with server.taken():
            try:
                await self._make_sure_of(server)
                answered = await self._client.ask(server, index, body)
            except Passing as failure:
                if failure.gone and server.examined:
                    server.examined = False
                    _log.warning("%s; it is asked again after a rest.", failure)
                self._servers.failed(server, failure.wait)
                raise
            except RemoteError as error:
                self._set_aside(server, str(error))
                raise Away(str(error)) from None  # to the others, if there are any
        self._servers.answered(server)
        return answered

    async def _first(self, server: Server, patience: float) -> str | None:
        """Examine a server, again while it is away; return why it could not be done."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + patience
        wait = 0.2
        while True:
            try:
                await self._make_sure_of(server)
            except RemoteError as error:
                self._set_aside(server, str(error))
            except Passing as failure:
                if self.facts is None and loop.time() + wait <= give_up:
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, 2.0)
                    continue
                self._servers.failed(server, failure.wait)
                return str(failure)
            return None

    async def _make_sure_of(self, server: Server) -> None:
        async with self._examining[server]:
            if server.examined:
                return
            if self._servers.resting(server):  # another request has just found that it is away
                raise Away(f"{server.name} is still away")
            facts = await self._client.facts(server, self._model, self._family)
            if self.facts is not None and (differs := facts.difference(self.facts)):
                raise RemoteError(
                    f"{server.name} differs from the other servers, or from what it was, in its "
                    f"{differs}: the captions would not be of one model"
                )
            self.facts = self.facts or facts
            server.examined = True

    async def _free(self) -> Server:
        while True:
            server, wait = self._servers.pick()
            if server is not None:
                return server
            if not wait:
                reasons = [server.unfit for server in self._servers.all if server.unfit]
                raise RemoteError(reasons[-1])
            await asyncio.sleep(wait)

    def _set_aside(self, server: Server, why: str) -> None:
        if server.unfit is None and self.facts is not None:
            _log.warning("%s; it is asked no more.", why)
        server.unfit = server.unfit or why
