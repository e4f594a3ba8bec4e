"""The lmms-eval model ``qwen_omni_vllm``: Qwen2.5-Omni on vLLM, hearing the video.

The way of a request: messages -> conversation -> clip (decoded ahead, in threads) -> prompt ->
engine -> :class:`~ugc_models.captions.Caption`. The engine starts with the first request, not with
the model: what is missing in a task's data is said before a GPU is touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from loguru import logger
from tqdm import tqdm

from ugc_models.ahead import Ahead
from ugc_models.captions import Caption, Generation
from ugc_models.engine.local import Answer, LocalEngine, Request, engine_argument_names
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.errors import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.prompt import Conversation, PromptError, conversation
from ugc_models.sampling import sampling_arguments
from ugc_models.settings import Settings


LOST_SECONDS = 0.5
"""How much of its announced picture a clip may lack; with more missing it is another clip."""


class QwenOmniVLLM(lmms):
    """Qwen2.5-Omni on vLLM's own engine, the sound of a video interleaved with its frames.

    Takes the arguments of :class:`ugc_models.settings.Settings` and, under their own names, those of
    vLLM's engine. ``batch_size``, ``max_batch_size`` and ``device`` are lmms-eval's: the engine
    batches by itself and finds its device by itself.

    Raises:
        ValueError: an argument that neither knows, by name.
        EngineMissing: vLLM is not installed.
    """

    is_simple = False

    def __init__(
        self,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        self.settings = Settings.from_arguments(arguments, engine_argument_names())
        self._engine: LocalEngine | None = None
        self._template: Any = None

    @property
    def device(self) -> Any:
        """Where lmms-eval gathers its counts across ranks."""
        accelerator = getattr(self, "accelerator", None)
        return accelerator.device if accelerator is not None else "cpu"

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer requests; one that fails is answered with an empty caption that says why."""
        seed = self.settings.engine.get("seed", 0)
        sampling = [sampling_arguments(r.arguments[2], seed=seed) for r in requests]
        captions: list[Caption | None] = [None] * len(requests)
        started = time.perf_counter()
        bar = tqdm(total=len(requests), desc="Model Responding", disable=self.rank != 0)
        with bar:
            for index, caption in self._captions(requests, sampling):
                captions[index] = caption
                if error := caption.generation["error"]:
                    logger.warning(f"{_name(requests[index])}: no caption: {error}")
                bar.update()
        results = [caption for caption in captions if caption is not None]
        _report(results, time.perf_counter() - started, self.rank)
        return [GenerationResult(caption, _token_counts(caption)) for caption in results]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not offered: a captioner answers once."""
        raise NotImplementedError("qwen_omni_vllm answers in one round")

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: tasks of multiple choice by likelihood need another model."""
        raise NotImplementedError("qwen_omni_vllm generates text and gives no likelihoods")

    def clean(self) -> None:
        """Stop the engine: the GPU is free for a judge that runs on it."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
        super().clean()

    def _captions(
        self, requests: list[Instance], sampling: list[dict[str, Any]]
    ) -> Iterator[tuple[int, Caption]]:
        read = partial(_read, settings=self.settings)
        asked = enumerate(zip(requests, sampling, strict=True))
        tasks = (self._task(index, request, arguments) for index, (request, arguments) in asked)
        with Ahead(
            tasks, read, workers=self.settings.decode_workers, window=self.settings.max_in_flight
        ) as ahead:
            source = _Source(ahead, self._render)
            for answer in self._started().run(source, self.settings.max_in_flight):
                yield answer.index, _caption(answer, source.pop(answer.index))
                yield from source.failures()
            yield from source.failures()

    def _task(self, index: int, request: Instance, sampling: dict[str, Any]) -> _Task:
        _, doc_to_messages, _, doc_id, task, split = request.arguments
        messages = doc_to_messages(self.task_dict[task][split][doc_id])
        try:
            chat = conversation(messages, self.settings.system_prompt)
        except PromptError as error:
            return _Task(index, None, sampling, error=str(error))
        return _Task(index, chat, sampling)

    def _started(self) -> LocalEngine:
        if self._engine is None:
            self._engine = LocalEngine(self.settings.model, self.settings.engine)
        return self._engine

    def _render(self, chat: Conversation) -> str:
        """Apply the checkpoint's own chat template."""
        if self._template is None:
            from transformers import AutoProcessor

            self._template = AutoProcessor.from_pretrained(
                self.settings.model, revision=self.settings.engine.get("revision") or "main"
            )
        prompt = self._template.apply_chat_template(
            chat.messages, add_generation_prompt=True, tokenize=False
        )
        return prompt[0] if isinstance(prompt, list) else str(prompt)


@dataclass(frozen=True)
class _Task:
    """A request on its way: what was asked, then with the clip that was read for it."""

    index: int
    chat: Conversation | None
    sampling: dict[str, Any]
    clip: Clip | None = None
    error: str | None = None


def _read(task: _Task, settings: Settings) -> _Task:
    """Decode a task's clip; runs in a worker thread and returns its failures."""
    if task.chat is None or task.chat.video is None:
        return task
    sampling = Sampling(
        frames=settings.frames,
        fps=settings.fps,
        max_frames=settings.max_frames,
        min_pixels=settings.min_pixels,
        max_pixels=settings.max_pixels,
    )
    try:
        clip = read_clip(task.chat.video, sampling, sound=settings.use_audio_in_video)
    except MediaError as error:
        return replace(task, error=f"the clip cannot be read: {error}")
    except Exception as error:  # one clip must not take the run along, whatever it did
        return replace(task, error=f"the clip cannot be read: {type(error).__name__}: {error}")
    if clip.lost_seconds > LOST_SECONDS:
        lost, whole = clip.lost_seconds, clip.lost_seconds + clip.duration
        return replace(task, error=f"the clip is cut off: {lost:.1f} of {whole:.1f} s are missing")
    return replace(task, clip=clip)


class _Source:
    """Feeds the engine from the clips that are ready; keeps aside what failed before it."""

    def __init__(self, ahead: Ahead[_Task, _Task], render: Any) -> None:
        self._ahead = ahead
        self._render = render
        self._asked: dict[int, Generation] = {}
        self._failed: list[tuple[int, Caption]] = []

    def next_request(self, *, block: bool) -> Request | None:
        """Return the next request whose clip is ready."""
        while (taken := self._ahead.take(block=block)) is not None:
            task = taken[1]
            if task.error is not None or task.chat is None:
                self._failed.append((task.index, Caption("", Generation(error=task.error))))
                continue
            clip = task.clip
            self._asked[task.index] = _generation(clip)
            return Request(
                task.index,
                self._render(task.chat),
                frames=clip.frames if clip else None,
                fps=clip.fps if clip else None,
                sound=clip.sound if clip else None,
                sampling=task.sampling,
            )
        return None

    def pop(self, index: int) -> Generation:
        """Return what is known of an asked request, and forget it."""
        return self._asked.pop(index)

    def failures(self) -> Iterator[tuple[int, Caption]]:
        """Return the requests that never reached the engine, each once."""
        failed, self._failed = self._failed, []
        yield from failed


def _generation(clip: Clip | None) -> Generation:
    if clip is None:
        return Generation()
    count, height, width, _ = clip.frames.shape
    return Generation(
        frames=count,
        fps=round(clip.fps, 6),
        size=(width, height),
        seconds=round(clip.duration, 3),
        sound_seconds=0.0 if clip.sound is None else round(len(clip.sound) / 16_000, 3),
        sound_missing=clip.sound_missing,
    )


def _caption(answer: Answer, generation: Generation) -> Caption:
    done = replace(
        generation,
        error=answer.error,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        output_tokens=len(answer.output_ids) if answer.error is None else None,
    )
    if answer.error is not None:  # it never got to hear anything
        done = replace(done, sound_seconds=0.0)
    return Caption(answer.text, done)


def _token_counts(caption: Caption) -> TokenCounts:
    generation = caption.generation
    return TokenCounts(
        input_tokens=generation["prompt_tokens"], output_tokens=generation["output_tokens"]
    )


def _report(captions: Iterable[Caption], seconds: float, rank: int) -> None:
    """Report throughput the way lmms-eval's own vLLM models do, and what was heard."""
    generations = [caption.generation for caption in captions]
    tokens = sum(g["output_tokens"] or 0 for g in generations)
    log_metrics(
        total_elapsed_time=seconds,
        total_gen_tokens=tokens,
        avg_speed=tokens / seconds if seconds else 0.0,
        additional_metrics={
            "clips": len(generations),
            "clips_heard": sum(g["heard"] for g in generations),
            "clips_failed": sum(g["error"] is not None for g in generations),
            "rank": rank,
        },
    )


def _name(request: Instance) -> str:
    return f"{request.task_name} document {request.doc_id}"
