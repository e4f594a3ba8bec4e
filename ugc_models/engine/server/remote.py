"""An engine elsewhere: ``vllm serve`` behind one address or several.

An event loop in a thread of its own sends requests and waits for them. What may pass (a server
that restarts, too many requests, a cut connection, no answer) is tried again, on another server
where there is one; what cannot pass is an answer with an error.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.family import QWEN2_5, Family
from ugc_models.engine.process import LoopThread
from ugc_models.engine.server import protocol
from ugc_models.engine.server.client import Client, Facts
from ugc_models.engine.server.failures import Away, Passing, RemoteError
from ugc_models.engine.server.fleet import Answered, Fleet
from ugc_models.engine.server.servers import Servers, addresses

if TYPE_CHECKING:
    import tenacity

__all__ = ["KEY", "RemoteEngine", "RemoteError"]

KEY = "VLLM_API_KEY"
"""Environment variable with the servers' key, the one that ``vllm serve`` has its own from.

Not ``OPENAI_API_KEY``: that one is the judge's, and must not go to whoever serves a model.
"""

_TRIES = 4
"""How often one request may be lost, time out or meet a server's internal error."""

_SUSPECT = 2
"""After so many times it is tried alone among its like: a clip that ends servers takes others along
only so often."""


class RemoteEngine:
    """Servers of one model, used as one engine.

    Args:
        base_urls: one address, several separated by ``;``, a JSON list or a sequence of them.
        model: the name it is served by, or the checkpoint that it was started from; the only one
            served without it.
        family: the checkpoint's.
        timeout: seconds that a request may take on a server before it counts as lost.
        patience: seconds that servers may be away, for a restart, before the engine gives up.
        start_patience: the same at the start, where an address may simply be wrong.

    Raises:
        BadAddress: an address that cannot be one.
        RemoteError: nothing answers, or what answers cannot be used; in one sentence.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        model: str | None = None,
        *,
        family: Family = QWEN2_5,
        timeout: float = 600.0,
        patience: float = 300.0,
        start_patience: float = 30.0,
    ) -> None:
        servers = Servers(addresses(base_urls))
        self._count = len(servers.all)
        self._client = Client(os.environ.get(KEY, ""), timeout)
        self._fleet = Fleet(servers, self._client, model, family)
        self._token_side = family.token_side
        self._patience = patience
        self._alone = asyncio.Lock()
        self._closed = False
        # Packing a clip takes a tenth of a second of a core; two threads keep up with any server.
        self._packers = ThreadPoolExecutor(2, thread_name_prefix="pack")
        self._loop = LoopThread("ugc-remote-engine")
        try:
            self._loop.run(self._fleet.start(start_patience))
        except BaseException:
            self.close()
            raise

    @property
    def facts(self) -> Facts:
        """Return what is served, by all servers alike."""
        if self._fleet.facts is None:
            raise RemoteError("the engine has not started")
        return self._fleet.facts

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """Begin to answer; see :class:`ugc_models.engine.base.Engine`.

        The future raises :class:`RemoteError` when no server is left to ask, and is cancelled by
        :meth:`close`. Cancelling it takes the request off its server.
        """
        if self._closed:
            raise RemoteError("the engine is closed")
        return self._loop.submit(self._answer(request))

    def decoding(self) -> str:
        """Return what runs the model, in a few words for the results; no addresses."""
        where = "1 server" if self._count == 1 else f"{self._count} servers"
        return f"vllm serve {self.facts.version} at {where}, {self.facts.found.order} positions"

    def identity(self) -> str:
        """Return what decides a caption on the servers' side: the model's part of a store's key.

        A revision is not among what vLLM tells: a checkpoint that changes under its name needs
        another name.
        """
        facts = self.facts
        return (
            f"{facts.model} (root {facts.root or 'unknown'}, vllm {facts.version}, "
            f"{facts.found.order} positions)"
        )

    def close(self) -> None:
        """Cancel what is in flight and close the connections. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._loop.run(self._stop())
        self._loop.close()
        self._packers.shutdown(wait=False, cancel_futures=True)

    async def _stop(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()

    async def _answer(self, request: EngineRequest) -> EngineOutput:
        index, facts, tokens = request.index, self.facts, None
        # Where the processor may scale frames, how many tokens they become is its business.
        if request.frames is not None and request.processor.get("do_resize") is False:
            tokens = protocol.picture_tokens(request.frames.shape, self._token_side)
        try:
            body = await asyncio.get_running_loop().run_in_executor(
                self._packers, protocol.chat_body, request, facts.model, facts.max_model_len
            )
        except protocol.Unsendable as error:
            return EngineOutput(index, error=str(error))
        del request  # its arrays are in the body now
        answer, prompt_ids = await self._asked(index, body)
        picture = facts.found.picture
        if answer.error is not None or None in {tokens, picture} or prompt_ids is None:
            return answer
        seen = sum(token == picture for token in prompt_ids)
        if seen == tokens:
            return answer
        return EngineOutput(
            index,
            error=f"the server made {seen} tokens of the frames instead of {tokens}: it samples or "
            "scales them; start it without --media-io-kwargs and --mm-processor-kwargs",
        )

    async def _asked(self, index: int, body: bytes) -> Answered:
        """Ask until there is an answer, or patience is at its end."""
        import tenacity

        limit = _Endurance(self._patience)

        async def once() -> Answered:
            async with self._alone if limit.lost >= _SUSPECT else nullcontext():
                return await self._fleet.ask(index, body)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Passing),
            # The servers have their own rest; this keeps requests from moving in step.
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            stop=limit,
            reraise=True,
        )
        try:
            return await retrying(once)
        except Away as failure:
            reason = f"no server has answered for {limit.spent():.0f} s ({failure})"
        except Passing as failure:
            tries = retrying.statistics["attempt_number"]
            said = f"{failure}; given up after {tries} tries in {limit.spent():.0f} s"
            return EngineOutput(index, error=said), None
        raise RemoteError(reason)


class _Endurance:
    """When tenacity is to stop: by time where servers are away or busy, by count otherwise.

    Time counts from the first failure, not from the first try: an answer may take long.

    Attributes:
        lost: how often the request was taken and came to nothing.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._first = math.inf
        self.lost = 0

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        """Return whether the request has had enough."""
        failure = state.outcome.exception() if state.outcome else None
        self._first = min(self._first, asyncio.get_running_loop().time())
        self.lost += isinstance(failure, Passing) and failure.lost
        return self.lost >= _TRIES or self.spent() > self._patience

    def spent(self) -> float:
        """Return the seconds since the first failure."""
        return max(0.0, asyncio.get_running_loop().time() - self._first)
