"""The lmms-eval model ``qwen_omni_vllm``: Qwen2.5-Omni on vLLM, hearing the video.

The way of a request: messages -> conversation -> clip (decoded ahead, in threads) -> prompt ->
engine -> :class:`~ugc_models.captions.Caption`. The engine starts with the first clip that can be
read, not with the model: what is missing in a task's data is said before a GPU is touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from loguru import logger
from tqdm import tqdm

from ugc_models.captions import Caption
from ugc_models.engine.local import LocalEngine, engine_argument_names
from ugc_models.feed import Feed, Job
from ugc_models.prompt import ChatTemplate, PromptError, conversation
from ugc_models.sampling import sampling_arguments
from ugc_models.settings import Settings


class QwenOmniVLLM(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """Qwen2.5-Omni on vLLM's own engine, the sound of a video interleaved with its frames.

    Takes the arguments of :class:`ugc_models.settings.Settings` and, under their own names, those
    of vLLM's engine. ``batch_size``, ``max_batch_size`` and ``device`` are lmms-eval's: the engine
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
        revision = self.settings.engine.get("revision")
        self._template = ChatTemplate(self.settings.model, revision)
        self._engine: LocalEngine | None = None

    @property
    def device(self) -> Any:
        """Where lmms-eval gathers its counts across ranks."""
        accelerator = getattr(self, "accelerator", None)
        return accelerator.device if accelerator is not None else "cpu"

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer requests; one that fails is answered with an empty caption that says why.

        Raises:
            ValueError: generation arguments that no sampling parameter matches.
            CheckpointError: the checkpoint's processor cannot be loaded.
            EngineStartError: vLLM does not start.
        """
        seed = self.settings.engine.get("seed", 0)
        sampling = [sampling_arguments(r.arguments[2], seed=seed) for r in requests]
        captions: dict[int, Caption] = {}
        started = time.perf_counter()
        bar = tqdm(total=len(requests), desc="Model Responding", disable=self.rank != 0)
        with bar:
            for index, caption in self._captions(requests, sampling):
                captions[index] = caption
                if error := caption.generation["error"]:
                    logger.warning(f"{_name(requests[index])}: no caption: {error}")
                bar.update()
        ordered = [captions[index] for index in range(len(requests))]
        self._report(ordered, time.perf_counter() - started)
        return [GenerationResult(caption, _token_counts(caption)) for caption in ordered]

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
        self, requests: Sequence[Instance], sampling: Sequence[dict[str, Any]]
    ) -> Iterator[tuple[int, Caption]]:
        asked = enumerate(zip(requests, sampling, strict=True))
        jobs = (self._job(index, request, arguments) for index, (request, arguments) in asked)
        with Feed(jobs, self.settings, self._template.render) as feed:
            if feed.wait():
                engine = self._started()
                decoding = f"{self.settings.decoding()}, {engine.decoding()}"
                for answer in engine.run(feed, self.settings.max_in_flight):
                    yield feed.caption(answer, decoding)
                    yield from feed.failures()
            yield from feed.failures()

    def _job(self, index: int, request: Instance, sampling: dict[str, Any]) -> Job:
        _, doc_to_messages, _, doc_id, task, split = request.arguments
        messages = doc_to_messages(self.task_dict[task][split][doc_id])
        try:
            chat = conversation(messages, self.settings.system_prompt)
        except PromptError as error:
            return Job(index, None, sampling, error=str(error))
        return Job(index, chat, sampling)

    def _started(self) -> LocalEngine:
        if self._engine is None:
            self._engine = LocalEngine(self.settings.model, self.settings.engine)
            logger.info(f"Token positions of sound in video: {self._engine.positions}.")
        return self._engine

    def _report(self, captions: Sequence[Caption], seconds: float) -> None:
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
                "rank": self.rank,
            },
        )


def _token_counts(caption: Caption) -> TokenCounts:
    generation = caption.generation
    return TokenCounts(
        input_tokens=generation["prompt_tokens"], output_tokens=generation["output_tokens"]
    )


def _name(request: Instance) -> str:
    return f"{request.task_name} document {request.doc_id}"
