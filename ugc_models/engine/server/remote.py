"""An engine elsewhere: ``vllm serve`` behind one address.

An event loop in a thread of its own sends requests and waits for them. What may pass (a server that
restarts, too many requests, a cut connection, no answer) is tried again; what cannot pass is an
output with an error. Before the first request and after each absence the server is probed: it may
come back with another model, and nothing would show that captions of two models are mixed.
"""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

from ugc_models.engine.base import EngineOutput, EngineRequest, logger
from ugc_models.engine.family import QWEN2_5, Family
from ugc_models.engine.process import LoopThread
from ugc_models.engine.server import protocol
from ugc_models.engine.server.client import Client, RemoteError, RetryableError
from ugc_models.engine.server.probe import Facts, look

_log = logger(__name__)

_LOSSES = 4  # how often one request may be lost, time out or meet a server's internal error
_SUSPECT = 2  # losses after which it is tried alone among its like: it may be what ends the server
_LONGEST_REST_S = 15.0

_Answered = tuple[EngineOutput, tuple[int, ...] | None]


class RemoteEngine:
    """A server used as an engine (:class:`ugc_models.engine.base.Engine`).

    Args:
        base_url: its address.
        model: the name it is served by, or the checkpoint that it was started from; the only one
            served without it.
        family: the checkpoint's.
        timeout: seconds that a request may take on the server before it counts as lost.
        patience: seconds that the server may be away, for a restart, before the engine gives up.
        start_patience: the same at the start, where an address may simply be wrong.

    Raises:
        BadAddress: an address that cannot be one.
        RemoteError: nothing answers, or what answers cannot be used; in one sentence.
    """

    facts: Facts

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        family: Family = QWEN2_5,
        timeout: float = 600.0,
        patience: float = 300.0,
        start_patience: float = 30.0,
    ) -> None:
        self._client = Client(base_url, timeout)
        self._model, self._family, self._patience = model, family, patience
        self._known = self._closed = False
        self._failures, self._rest_until = 0, -math.inf
        self._alone, self._probing = asyncio.Lock(), asyncio.Lock()
        # Packing a clip takes a tenth of a second of a core; two threads keep up with any server.
        self._packers = ThreadPoolExecutor(2, thread_name_prefix="ugc-pack")
        self._loop = LoopThread("ugc-remote-engine")
        try:
            self._loop.run(self._start(start_patience))
        except BaseException:
            self.close()
            raise

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """Begin to answer; cancelling the future takes the request off the server.

        It raises :class:`RemoteError` when the server cannot be asked any more.
        """
        if self._closed:
            raise RemoteError("the engine is closed")
        return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop.loop)

    def decoding(self) -> str:
        """Return what runs the model, in a few words for the results; no address."""
        return f"vllm serve {self.facts.version} at 1 server, {self._order()}"

    def identity(self) -> str:
        """Return what decides a caption on the server's side: the model's part of a store's key.

        vLLM does not tell a revision: a checkpoint that changes under its name needs another name.
        """
        facts = self.facts
        root = facts.root or "unknown"
        return f"{facts.model} (root {root}, vllm {facts.version}, {self._order()})"

    def _order(self) -> str:
        what = "positions" if self._family.takes_videos else "embeddings"
        return f"{self.facts.order} {what}"

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

    async def _start(self, patience: float) -> None:
        give_up, wait = _now() + patience, 0.2
        while not self._known:
            try:
                await self._probe()
            except RetryableError as failure:
                if _now() + wait > give_up:
                    raise RemoteError(
                        f"{failure}; start the server, or check base_url (a server that loads its "
                        "model answers when that is done)"
                    ) from None
                await asyncio.sleep(wait)
                wait = min(2 * wait, 2.0)

    async def _answer(self, request: EngineRequest) -> EngineOutput:
        index, facts, tokens = request.index, self.facts, None
        # Where the processor may scale frames, how many tokens they become is its business.
        if request.processor.get("videos_kwargs", {}).get("do_resize") is False:
            side = self._family.token_side
            shapes = [video.frames.shape for video in request.videos]
            tokens = sum(-(-t // 2) * (h // side) * (w // side) for t, h, w, _ in shapes)
        try:
            body = await asyncio.get_running_loop().run_in_executor(
                self._packers, protocol.chat_body, request, facts.model, facts.max_model_len
            )
        except ValueError as error:
            return EngineOutput(index, error=str(error))
        del request  # its arrays are in the body now
        output, prompt_ids = await self._ask(index, body)
        if output.error is not None or None in {tokens, facts.picture} or prompt_ids is None:
            return output
        seen = prompt_ids.count(facts.picture)
        if seen == tokens:
            return output
        return EngineOutput(
            index,
            error=f"the server made {seen} tokens of the frames instead of {tokens}: it samples or "
            "scales them; start it without --media-io-kwargs and --mm-processor-kwargs",
        )

    async def _ask(self, index: int, body: bytes) -> _Answered:
        """Ask until there is an output, or patience is at its end.

        Time counts from the first failure, not from the first try: an answer may take long.
        """
        first_failure, losses, tries = math.inf, 0, 0
        while True:
            tries += 1
            try:
                async with self._alone if losses >= _SUSPECT else nullcontext():
                    return await self._try(index, body)
            except RetryableError as failure:
                self._rest(failure)
                losses += failure.kind == "lost"
                first_failure = min(first_failure, _now())
                spent = _now() - first_failure
                if losses < _LOSSES and spent <= self._patience:
                    continue
                if failure.kind == "away":
                    said = f"no server has answered for {spent:.0f} s ({failure})"
                    raise RemoteError(said) from None
                said = f"{failure}; given up after {tries} tries in {spent:.0f} s"
                return EngineOutput(index, error=said), None

    async def _try(self, index: int, body: bytes) -> _Answered:
        """Ask once, as soon as the server is not to be left alone."""
        while (wait := self._rest_until - _now()) > 0:
            await asyncio.sleep(wait)
        await self._probe()
        answered = await self._client.chat(index, body)
        self._failures = 0
        return answered

    async def _probe(self) -> None:
        """Make sure that the server is there, and what it was."""
        async with self._probing:
            if self._known:
                return
            if self._rest_until > _now():  # another request has just found that it is away
                raise RetryableError("away", f"{self._client.name} is still away")
            facts = await look(self._client, self._model, self._family)
            now, before = facts.decisive(), getattr(self, "facts", facts).decisive()
            if now != before:
                raise RemoteError(
                    f"{self._client.name} serves {now}, and before it served {before}: the "
                    "answers would not be of one model"
                )
            self.facts, self._known = facts, True

    def _rest(self, failure: RetryableError) -> None:
        """Leave the server alone, longer with each failure."""
        if failure.kind != "busy" and self._known:
            self._known = False
            _log.warning("%s; it is asked again after a rest.", failure)
        now = _now()
        if self._rest_until <= now:  # ten requests that one crash cut off are one failure
            self._rest_until = now + min(2.0 ** min(self._failures, 9) / 2, _LONGEST_REST_S)
            self._failures += 1


def _now() -> float:
    return asyncio.get_running_loop().time()
