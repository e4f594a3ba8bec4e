"""The lmms-eval model ``qwen_omni_vllm``: Qwen-Omni on vLLM, hearing the video.

The way of a request: messages -> conversation -> prompt -> caption on disk, or else clip (read
ahead, in worker processes) -> engine -> :class:`~ugc_models.captions.Caption`, on disk before it is
counted or the task is told of it (``listeners.py``). The engine starts with the first clip that
needs one, not with the model: what is missing in a task's data is said before a GPU is touched, and
a rerun that lacks nothing touches none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from loguru import logger as _loguru
from tqdm import tqdm

from ugc_models.backend import Backend, backend_for
from ugc_models.captions import Caption
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import harmless_record
from ugc_models.engine.family import family_of
from ugc_models.engine.local import engine_argument_names
from ugc_models.feed import Feed
from ugc_models.interrupt import Interrupts
from ugc_models.job import Job
from ugc_models.listeners import Listeners
from ugc_models.prompt import ChatTemplate, PromptError, conversation
from ugc_models.pump import answers
from ugc_models.reading import Reader
from ugc_models.response_cache import bypass
from ugc_models.sampling import sampling_arguments
from ugc_models.settings import Settings
from ugc_models.store import CaptionStore, open_store

logger = _loguru.patch(harmless_record)


class QwenOmniVLLM(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """Qwen-Omni on vLLM, the sound of a video interleaved with its frames.

    Takes the arguments of :class:`ugc_models.settings.Settings` and, under their own names, those
    of vLLM's engine. ``batch_size``, ``max_batch_size`` and ``device`` are lmms-eval's: the engine
    batches by itself and finds its device by itself.

    Raises:
        ValueError: an argument that neither knows, by name.
        CheckpointError: the checkpoint is not there, or is none of these models.
        CaptionStoreError: captions cannot be kept where they should.
        EngineMissing: vLLM is not installed.
        BadAddress, RemoteError: ``base_url`` is none, or no server there answers.
    """

    is_simple = False
    keeps_answers = True  # see ugc_models.response_cache

    def __init__(
        self,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        bypass()
        # Servers have an engine of their own; of its arguments only these mean something here.
        served = arguments.get("base_url") is not None
        names = {"seed", "revision"} if served else engine_argument_names()
        self.settings = Settings.from_arguments(arguments, names)
        revision = self.settings.engine.get("revision")
        self._family = family_of(self.settings.model, revision)
        self._template = ChatTemplate(self.settings.model, revision)
        self._system = self.settings.system_text()
        self._store: CaptionStore | None = open_store(self.settings.store)
        self._backend: Backend = backend_for(self.settings, self._family, self._store)

    @property
    def device(self) -> Any:
        """Where lmms-eval gathers its counts across ranks."""
        accelerator = getattr(self, "accelerator", None)
        return accelerator.device if accelerator is not None else "cpu"

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer requests; one that fails is answered with an empty caption that says why.

        One that lmms-eval adds to make the shares of several ranks even is not asked: its answer
        would be thrown away.

        The first Ctrl-C finishes and keeps what is in flight and then raises; a second one raises
        at once.

        Raises:
            ValueError: generation arguments that no sampling parameter matches.
            CheckpointError: the checkpoint's processor cannot be loaded.
            EngineStartError: vLLM does not start.
            EngineGivenUp: it dies again and again.
            CaptionStoreError: captions cannot be kept; those before this one are.
        """
        answers = iter(self._answered([r for r in requests if not _is_padding(r)]))
        return [GenerationResult("") if _is_padding(r) else next(answers) for r in requests]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not offered: a captioner answers once."""
        raise NotImplementedError("qwen_omni_vllm answers in one round")

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: tasks of multiple choice by likelihood need another model."""
        raise NotImplementedError("qwen_omni_vllm generates text and gives no likelihoods")

    def clean(self) -> None:
        """Stop the engine: the GPU is free for a judge that runs on it."""
        self._backend.close()
        super().clean()

    def _answered(self, requests: list[Instance]) -> list[GenerationResult]:
        seed = self.settings.engine.get("seed", 0)
        sampling = [
            sampling_arguments(self.settings.generation(r.arguments[2]), seed=seed)
            for r in requests
        ]
        captions: dict[int, Caption] = {}
        listeners = Listeners(requests)
        started = time.perf_counter()
        bar = tqdm(total=len(requests), desc="Model Responding", disable=self.rank != 0)
        try:
            kept = "finished" if self._store is None else "finished and kept"
            with bar, Interrupts(f"what is in flight is {kept}") as interrupts:
                for index, caption in self._captions(requests, sampling, interrupts, listeners):
                    captions[index] = caption
                    listeners.tell(index, caption)
                    if error := caption.generation["error"]:
                        logger.warning(f"{_name(requests[index])}: no caption: {error}")
                    bar.update()
            if interrupts.asked:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{len(captions)} of {len(requests)} requests are answered; "
                + (
                    "none is kept (store=none)"
                    if self._store is None
                    else "run the same command again to go on"
                )
            ) from None
        if self._store is not None:
            self._store.say_ignored()
        ordered = [captions[index] for index in range(len(requests))]
        self._report(ordered, time.perf_counter() - started)
        return [GenerationResult(caption, _token_counts(caption)) for caption in ordered]

    def _captions(
        self,
        requests: Sequence[Instance],
        sampling: Sequence[dict[str, Any]],
        interrupts: Interrupts,
        listeners: Listeners,
    ) -> Iterator[tuple[int, Caption]]:
        settings = self.settings
        asked = enumerate(zip(requests, sampling, strict=True))
        jobs = (
            self._job(index, request, arguments, listeners) for index, (request, arguments) in asked
        )
        wake = threading.Event()
        with ExitStack() as open_things:
            pool = open_things.enter_context(DecodePool(settings.decode_workers))
            frames, inputs = (
                settings.sampling(self._family),
                settings.processor_inputs(self._family),
            )
            reader = Reader(
                pool,
                frames,
                sound=settings.use_audio_in_video,
                align_sound=settings.align_sound,
                store=self._store,
                made_of=self._backend.made_of() if self._store is not None else {},
            )
            feed = open_things.enter_context(
                Feed(
                    jobs,
                    reader,
                    inputs=inputs,
                    store=self._store,
                    workers=settings.decode_workers,
                    window=settings.max_in_flight,
                    thin=settings.on_overflow == "fewer_frames",
                    notify=wake.set,
                )
            )
            while not feed.look() and not feed.exhausted():
                yield from feed.without_engine()
                wake.wait(1.0)
                wake.clear()
            yield from feed.without_engine()
            if feed.exhausted():
                return
            engine = self._backend.engine()
            decoding = f"{settings.decoding()}, {engine.decoding()}"
            interrupts.then(feed.stop)
            for answer in answers(engine, feed, settings.max_in_flight, wake):
                if (finished := feed.caption(answer, decoding)) is not None:
                    yield finished
                yield from feed.without_engine()
            yield from feed.without_engine()

    def _job(
        self, index: int, request: Instance, sampling: dict[str, Any], listeners: Listeners
    ) -> Job:
        _, doc_to_messages, _, doc_id, task, split = request.arguments
        messages = doc_to_messages(self.task_dict[task][split][doc_id])
        listeners.add(index, messages, request)
        try:
            chat = conversation(messages, self._system)
            prompt = self._template.render(chat)
        except PromptError as error:
            return Job(index, None, error=str(error))
        return Job(index, chat, prompt, sampling)

    def _report(self, captions: Sequence[Caption], seconds: float) -> None:
        """Report throughput the way lmms-eval's own vLLM models do, and what was heard."""
        generations = [caption.generation for caption in captions]
        made = [g for g in generations if not g["stored"]]
        tokens = sum(g["output_tokens"] or 0 for g in made)
        log_metrics(
            total_elapsed_time=seconds,
            total_gen_tokens=tokens,
            avg_speed=tokens / seconds if seconds else 0.0,
            additional_metrics={
                "clips": len(generations),
                "clips_heard": sum(g["heard"] for g in generations),
                "clips_failed": sum(g["error"] is not None for g in generations),
                "captions_stored": len(generations) - len(made),
                "engine_restarts": self._backend.restarts,
                "rank": self.rank,
            },
        )


def _token_counts(caption: Caption) -> TokenCounts:
    generation = caption.generation
    return TokenCounts(
        input_tokens=generation["prompt_tokens"], output_tokens=generation["output_tokens"]
    )


def _is_padding(request: Instance) -> bool:
    # lmms-eval's own mark (``_clone_padding_request``); where it sets none, the copy is asked too.
    return bool((request.metadata or {}).get("__padding_only__"))


def _name(request: Instance) -> str:
    return f"{request.task_name} document {request.doc_id}"
