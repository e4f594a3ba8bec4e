"""vLLM's engine in this process: requests enter as they become ready, answers leave as they finish.

Only here is vLLM imported. Its queue does the batching; nothing waits for a batch to be full.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from ugc_models.engine import positions

_log = logging.getLogger(__name__)

DEFAULTS: dict[str, Any] = {
    "limit_mm_per_prompt": {"video": 1, "audio": 1, "image": 0},
    # With the cache of processed media on, a video seen again without its sound stops the engine.
    "mm_processor_cache_gb": 0,
}
"""What this adapter sets where ``--model_args`` does not."""


class EngineMissing(RuntimeError):
    """vLLM cannot be imported."""


class EngineStartError(RuntimeError):
    """vLLM is there and does not start with these arguments."""


@dataclass(frozen=True)
class Request:
    """One prompt.

    Attributes:
        index: the caller's own number for it.
        prompt: text with the model's media marks, unexpanded.
        frames: (T, H, W, 3) uint8 RGB, or None; sides multiples of 28.
        fps: frames per second.
        sound: (N,) float32 at 16 kHz to be interleaved with the frames, or None.
        sampling: arguments of ``vllm.SamplingParams``.
    """

    index: int
    prompt: str
    frames: npt.NDArray[Any] | None
    fps: float | None
    sound: npt.NDArray[Any] | None
    sampling: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What became of a request: text, or an error in one sentence."""

    index: int
    text: str = ""
    error: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    output_ids: tuple[int, ...] = ()


class Source(Protocol):
    """Where requests come from: see :class:`ugc_models.ahead.Ahead`."""

    def next_request(self, *, block: bool) -> Request | None:
        """Return a request that is ready; None for none yet, or with ``block`` none ever."""


def engine_argument_names() -> set[str]:
    """Return the names of the arguments that vLLM's engine takes.

    Raises:
        EngineMissing: vLLM is not installed, or does not start on this machine.
    """
    try:
        from vllm import EngineArgs
    except Exception as error:
        raise EngineMissing(
            "vLLM cannot be imported: install the engine with \"pip install 'ugc-videocap[vllm]'\" "
            f"({type(error).__name__}: {error})"
        ) from error
    return set(EngineArgs.__dataclass_fields__)


class LocalEngine:
    """A running ``vllm.LLM``.

    Args:
        model: Hugging Face name or folder.
        arguments: vLLM's engine arguments, over :data:`DEFAULTS`.

    Attributes:
        positions: where the positions of sound in video come from, see
            :func:`ugc_models.engine.positions.status`.

    Raises:
        EngineStartError: no such checkpoint, too little memory, and so on.
    """

    def __init__(self, model: str, arguments: Mapping[str, Any]) -> None:
        from vllm import LLM
        from vllm.platforms import current_platform

        positions.require()
        self.positions = positions.status()
        self.arguments = {**DEFAULTS, **arguments}
        if current_platform.is_cpu():
            # A prompt prefilled in pieces rewinds its request's random generator, which a CPU's
            # generator cannot do: the engine would die of the first seeded request.
            self.arguments.setdefault("enable_chunked_prefill", False)
        try:
            self._llm: Any = LLM(model=model, **self.arguments)
        except Exception as error:
            raise EngineStartError(
                f"vLLM's engine does not start with model={model!r}; its log says more "
                f"({_short(error)})"
            ) from error

    def run(self, source: Source, max_in_flight: int) -> Iterator[Answer]:
        """Answer all requests of a source, each as soon as it is finished.

        A request that the engine refuses (too long a prompt, say) is answered with the reason; the
        others go on.

        Raises:
            Exception: the engine itself failed; nothing more comes out of it.
        """
        in_flight: dict[str, int] = {}
        try:
            yield from self._run(source, max_in_flight, in_flight)
        finally:
            if in_flight:  # the caller stopped, or the source failed: nobody waits for these
                with suppress(Exception):  # what went wrong before matters more
                    self._llm.llm_engine.abort_request(list(in_flight))

    def _run(
        self, source: Source, max_in_flight: int, in_flight: dict[str, int]
    ) -> Iterator[Answer]:
        while True:
            while len(in_flight) < max_in_flight:
                request = source.next_request(block=not in_flight)
                if request is None:
                    break
                try:
                    in_flight[self._enqueue(request)] = request.index
                except Exception as error:
                    yield Answer(request.index, error=f"the engine refused it: {_short(error)}")
            if not in_flight:
                return
            for output in self._llm.llm_engine.step():
                if output.finished and output.request_id in in_flight:
                    yield _answer(in_flight.pop(output.request_id), output)
            if in_flight and not self._llm.llm_engine.has_unfinished_requests():
                # Not seen, and better a failure than a loop for ever.
                for index in in_flight.values():
                    yield Answer(index, error="the engine lost the request")
                in_flight.clear()

    def decoding(self) -> str:
        """Return what runs the model, in a few words for the results."""
        return f"{positions.engine_version()} {self.positions} positions"

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        shutdown = getattr(llm.llm_engine.engine_core, "shutdown", None)
        if shutdown is not None:
            shutdown()
        del llm
        gc.collect()
        try:
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        except Exception:
            _log.exception("The GPU's memory cache could not be emptied.")

    def _enqueue(self, request: Request) -> str:
        from vllm import SamplingParams

        media: dict[str, Any] = {}
        options: dict[str, Any] = {}
        if request.frames is not None:
            media["video"] = [request.frames]
            options = video_options(request.fps or 2.0, request.frames.shape)
        if request.sound is not None:
            media["audio"] = [request.sound]
            options["use_audio_in_video"] = True
        prompt: dict[str, Any] = {"prompt": request.prompt}
        if media:
            prompt |= {"multi_modal_data": media, "mm_processor_kwargs": options}
        [name] = self._llm.enqueue([prompt], SamplingParams(**request.sampling), use_tqdm=False)
        # The engine's own name for it is "<name>-<random>"; outputs carry what is before the dash.
        return str(name).partition("-")[0]


def video_options(fps: float, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the processor's options for frames that have their final size already.

    ``fps`` and ``second_per_grid_ts`` say the same to two parts of vLLM: the token order reads the
    one, the positions the other, and either alone gives a wrong layout. The size limits are the
    frames' own, so that no processor scales them again.

    Args:
        fps: frames per second; a time step of the model is two frames.
        shape: (T, H, W, 3).
    """
    area = shape[1] * shape[2]
    return {
        "fps": fps,
        "second_per_grid_ts": [2.0 / fps],
        "do_sample_frames": False,
        "do_resize": False,
        "size": {"shortest_edge": area, "longest_edge": area * max(shape[0], 2)},
        "cap_pixels_per_frame": False,
    }


def _answer(index: int, output: Any) -> Answer:
    [best] = output.outputs
    return Answer(
        index,
        text=best.text,
        finish_reason=best.finish_reason,
        prompt_tokens=len(output.prompt_token_ids or ()),
        output_ids=tuple(best.token_ids),
    )


def _short(error: Exception) -> str:
    # Some of vLLM's messages print whole arrays.
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{'…' if len(text) > 300 else ''}"
