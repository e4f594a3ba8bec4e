"""vLLM's engine on this machine: requests enter as they come, answers leave as they finish.

Only here is vLLM imported. Its own queue does the batching. The engine runs in processes of its
own (vLLM's ``AsyncLLM``), so that what kills it does not kill the run.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from multiprocessing import resource_tracker
from typing import Any

from ugc_models.engine import positions
from ugc_models.engine.base import (
    TOO_LONG,
    EngineOutput,
    EngineRequest,
    FramesInput,
    shown,
    sounds_of,
)
from ugc_models.engine.family import QWEN2_5
from ugc_models.engine.process import LoopThread, environment, kill_trees, owned

DEFAULTS: dict[str, Any] = {
    # More than a prompt has room for. On a GPU vLLM sets memory aside for as many as one step's
    # tokens hold, and for the kind whose largest item has the most tokens, which is video: so
    # these numbers cost nothing.
    "limit_mm_per_prompt": {"video": 64, "audio": 64, "image": 256},
    # With the cache of processed media on, a video seen again without its sound stops the engine.
    "mm_processor_cache_gb": 0,
    # Patches and mel features of the next clips are computed while this one is answered.
    "renderer_num_workers": 4,
}
"""What this adapter sets where ``--model_args`` does not, as far as this vLLM knows the name."""

_RANK_VARIABLES = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)
"""Set by ``accelerate launch`` for *its* ranks; an engine would read them as its own."""


class EngineMissing(RuntimeError):
    """vLLM cannot be imported."""


class EngineStartError(RuntimeError):
    """vLLM is there and does not start with these arguments."""


class EngineDied(RuntimeError):
    """The engine's process is gone, and with it every request that was in it."""


def engine_argument_names() -> set[str]:
    """Return the names of the arguments that vLLM's engine takes."""
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
    except Exception as error:
        raise EngineMissing(
            "vLLM cannot be imported: install the engine with \"pip install 'ugc-videocap[vllm]'\" "
            f"({_short(error)})"
        ) from error
    return set(AsyncEngineArgs.__dataclass_fields__)


class LocalEngine:
    """A running engine (:class:`ugc_models.engine.base.Engine`).

    Args:
        model: Hugging Face name or folder.
        arguments: vLLM's engine arguments, over :data:`DEFAULTS`.
        variables: of the environment, for the engine's processes alone.
        family: the checkpoint's ``model_type``.

    Raises:
        EngineStartError: no such checkpoint, too little memory, and so on.
    """

    def __init__(
        self,
        model: str,
        arguments: Mapping[str, Any],
        variables: Mapping[str, str] | None = None,
        *,
        family: str = QWEN2_5.model_type,
    ) -> None:
        known = engine_argument_names()
        positions.require(family)
        self._words = positions.engine_words(family)
        self.arguments = {k: v for k, v in DEFAULTS.items() if k in known} | dict(arguments)
        self._names = map(str, itertools.count())
        self._asked = 0
        self._moved = time.monotonic()
        self._loop = LoopThread("ugc-engine")
        try:
            self._llm: Any = self._loop.run(_start(model, self.arguments, variables or {}))
        except Exception as error:
            self._loop.close()
            raise EngineStartError(
                f"vLLM's engine does not start with model={model!r}; its log says more "
                f"({_short(error)})"
            ) from error

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        """Begin to answer; a request that the engine refuses is answered with the reason.

        The future raises :class:`EngineDied` when the engine's process ended meanwhile, or was
        killed by :meth:`kill`.
        """
        if not self._asked:
            self._moved = time.monotonic()
        self._asked += 1
        future = asyncio.run_coroutine_threadsafe(self._answer(request), self._loop.loop)
        future.add_done_callback(self._done)
        return future

    def stalled(self) -> float:
        """Return for how many seconds nothing has come out of the engine that owes an answer."""
        return time.monotonic() - self._moved if self._asked else 0.0

    def decoding(self) -> str:
        """Return what runs the model, in a few words for the results."""
        return self._words

    def kill(self) -> None:
        """End the engine's processes now, even if they hang; what was asked raises."""
        kill_trees(self.processes())

    def processes(self) -> list[int]:
        """Return the ids of the processes that the engine runs in, without their children."""
        owner = self._llm
        for name in ("engine_core", "resources", "engine_manager"):
            owner = getattr(owner, name, None)
        return [process.pid for process in getattr(owner, "processes", ())]

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        with suppress(Exception):  # it may be dead already
            self._loop.run(_stop(llm), timeout=60)
        self._loop.close()
        del llm
        gc.collect()

    def _done(self, _: Future[EngineOutput]) -> None:
        self._asked -= 1
        self._moved = time.monotonic()

    async def _answer(self, request: EngineRequest) -> EngineOutput:
        from vllm import SamplingParams
        from vllm.v1.engine.exceptions import EngineDeadError

        last: Any = None
        try:
            sampling = SamplingParams(**request.parameters)
            answers = self._llm.generate(
                _prompt(request),
                sampling,
                next(self._names),
                # The chat template has written them; a second <bos> would change the answer.
                tokenization_kwargs={"add_special_tokens": False},
            )
            async for output in answers:
                last = output
                self._moved = time.monotonic()
        except EngineDeadError as error:
            raise EngineDied("the engine's process ended") from error
        except Exception as error:
            # vLLM wraps what it did not expect in an error that says nothing.
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            said = f"the engine refused it: {_short(cause)}"
            overflow = getattr(cause, "parameter", None) == "input_tokens"
            overflow = overflow or bool(TOO_LONG.search(str(cause)))
            return EngineOutput(request.index, error=said, overflow=overflow)
        if last is None or not last.finished:
            return EngineOutput(request.index, error="the engine lost the request")
        [best] = last.outputs
        return EngineOutput(
            request.index,
            text=best.text,
            finish_reason=best.finish_reason,
            prompt_tokens=len(last.prompt_token_ids or ()),
            output_ids=tuple(best.token_ids),
        )


async def _start(model: str, arguments: dict[str, Any], variables: Mapping[str, str]) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    if current_platform.is_cpu():
        # For a seeded request that is prefilled in pieces vLLM rewinds a random generator, which
        # PyTorch cannot do on a CPU: the engine would die.
        arguments.setdefault("enable_chunked_prefill", False)
    # The first process that is spawned starts a tracker of shared memory, which unblocks Ctrl-C in
    # the thread that starts it (LoopThread blocks it): started here, and blocked again.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with ExitStack() as around:
        around.enter_context(owned())
        around.enter_context(environment({**dict.fromkeys(_RANK_VARIABLES), **variables}))
        # A fork of a process with threads may copy a lock that is held, and stays held.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        # As vLLM's class for offline use, whose default batches are larger: throughput counts here.
        return AsyncLLM.from_engine_args(
            AsyncEngineArgs(model=model, **arguments), usage_context=UsageContext.LLM_CLASS
        )


async def _stop(llm: Any) -> None:
    llm.shutdown()


def _prompt(request: EngineRequest) -> dict[str, Any]:
    from PIL import Image

    media: dict[str, Any] = {
        "video": [v.frames for v in request.videos if not isinstance(v, FramesInput)],
        "audio": sounds_of(request.media),
        "image": [Image.fromarray(pixels) for pixels in request.images],
    }
    prompt: dict[str, Any] = {"prompt": request.prompt}
    if any(media.values()):
        prompt["multi_modal_data"] = {kind: items for kind, items in media.items() if items}
        prompt["mm_processor_kwargs"] = dict(request.processor)
    if salt := request.cache_salt:
        prompt["cache_salt"] = salt
    return prompt


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(error)}"  # some of vLLM's messages are whole arrays
