"""The lmms-eval model ``qwen_omni_vllm``: Qwen-Omni on vLLM, with the sound of the video.

The way of a request: messages -> conversation -> prompt -> caption on disk, or else clip (read
ahead, in worker processes) -> engine -> :class:`~ugc_models.captions.Caption`, on disk before it is
counted or the task gets it (``pipeline.py``). The engine starts with the first clip that needs one,
not with the model: what is missing in a task's data is said before a GPU is touched, and a rerun
that lacks nothing touches none.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from loguru import logger as _loguru
from tqdm import tqdm

from ugc_models.captions import Caption, checkpoint_identity, engine_identity
from ugc_models.config import Settings
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine import positions
from ugc_models.engine.base import Engine, harmless_record
from ugc_models.engine.family import Family, family_of
from ugc_models.engine.local import LocalEngine, engine_argument_names
from ugc_models.engine.process import environment_of_rank
from ugc_models.engine.server.remote import RemoteEngine
from ugc_models.engine.supervisor import Supervisor
from ugc_models.manifest import Listeners, bypass
from ugc_models.pipeline import CaptionRequest, Pipeline, Reader
from ugc_models.prompt import ChatTemplate, PromptError, conversation, generation_parameters
from ugc_models.store import CaptionStore, open_store

logger = _loguru.patch(harmless_record)


class QwenOmniVLLM(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """Qwen-Omni on vLLM, the sound of a video interleaved with its frames.

    Takes the arguments of :class:`ugc_models.config.Settings` and, under their own names, those
    of vLLM's engine. ``batch_size``, ``max_batch_size`` and ``device`` are lmms-eval's: the engine
    batches by itself and finds its device by itself.

    Raises:
        ValueError: an argument that neither knows, by name.
        CheckpointError: the checkpoint is not there, or is another kind of model.
        CaptionStoreError: captions cannot be kept where they should.
        EngineMissing: vLLM is not installed.
        BadAddress, RemoteError: ``base_url`` is no address, or no server there answers.
    """

    is_simple = False
    keeps_answers = True  # see ugc_models.manifest.bypass

    def __init__(
        self,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        bypass()
        # A server has an engine of its own; of its arguments only these mean something here.
        served = arguments.get("base_url") is not None
        names = {"seed", "revision"} if served else engine_argument_names()
        self.settings = Settings.from_arguments(arguments, names)
        revision = self.settings.engine.get("revision")
        self._family = family_of(self.settings.model, revision)
        self._template = ChatTemplate(self.settings.model, revision)
        self._system = self.settings.system_text()
        self._store: CaptionStore | None = open_store(self.settings.store)
        self._backend = Backend(self.settings, self._family, self._store)

    @property
    def device(self) -> Any:
        """Where lmms-eval gathers its counts across ranks."""
        accelerator = getattr(self, "accelerator", None)
        return accelerator.device if accelerator is not None else "cpu"

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer requests; one that fails is answered with an empty caption that says why.

        What lmms-eval adds to make the shares of several ranks even is not asked: it throws the
        answer away. The first Ctrl-C finishes and keeps what is in flight and then raises; a second
        one raises at once.

        Raises:
            ValueError: generation arguments that no sampling parameter matches.
            CheckpointError: the checkpoint's processor cannot be loaded.
            EngineStartError: vLLM does not start.
            EngineGivenUp: it dies again and again.
            CaptionStoreError: captions cannot be kept; those before this one are.
        """
        asked = [request for request in requests if not _is_padding(request)]
        captions: dict[int, Caption] = {}
        listeners = Listeners(asked)
        kept = self._store is not None
        started = time.perf_counter()
        bar = tqdm(total=len(asked), desc="Model Responding", disable=self.rank != 0)
        try:
            with (
                bar,
                Interrupts("finished and kept" if kept else "finished") as interrupts,
                DecodePool(self.settings.decode_workers) as pool,
            ):
                pipeline = self._pipeline(asked, pool, interrupts, listeners)
                for index, caption in pipeline.run():
                    captions[index] = caption
                    listeners.tell(index, caption)
                    if error := caption.generation["error"]:
                        task, document = asked[index].task_name, asked[index].doc_id
                        logger.warning(f"{task} document {document}: no caption: {error}")
                    bar.update()
            if interrupts.asked:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            more = "run the same command again to go on" if kept else "none is kept (store=none)"
            raise KeyboardInterrupt(
                f"{len(captions)} of {len(asked)} requests are answered; {more}"
            ) from None
        ordered = [captions[index] for index in range(len(asked))]
        self._report([caption.generation for caption in ordered], time.perf_counter() - started)
        answers = iter(ordered)
        return [
            GenerationResult("") if _is_padding(request) else _result(next(answers))
            for request in requests
        ]

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

    def _pipeline(
        self,
        requests: Sequence[Instance],
        pool: DecodePool,
        interrupts: Interrupts,
        listeners: Listeners,
    ) -> Pipeline:
        settings, family, store = self.settings, self._family, self._store
        seed = settings.engine.get("seed", 0)
        # All of them first: an argument that means nothing is said before a clip is read.
        parameters = [
            generation_parameters(settings.generation(request.arguments[2]), seed=seed)
            for request in requests
        ]
        reader = Reader(
            pool,
            settings.frame_sampling(family),
            sound=settings.use_audio_in_video,
            align_sound=settings.align_sound,
            store=store,
            made_of=self._backend.made_of() if store is not None else {},
        )

        def start() -> Engine:
            engine = self._backend.engine()
            interrupts.then(pipeline.stop)
            return engine

        pipeline = Pipeline(
            (
                self._caption_request(index, request, parameters[index], listeners)
                for index, request in enumerate(requests)
            ),
            reader,
            start,
            inputs=settings.processor_inputs(family),
            render=self._template.render,
            setup=settings.decoding(),
            store=store,
            workers=settings.decode_workers,
            window=settings.max_in_flight,
            fewer_frames=settings.on_overflow == "fewer_frames",
        )
        return pipeline

    def _caption_request(
        self, index: int, request: Instance, parameters: dict[str, Any], listeners: Listeners
    ) -> CaptionRequest:
        _, doc_to_messages, _, doc_id, task, split = request.arguments
        messages = doc_to_messages(self.task_dict[task][split][doc_id])
        listeners.add(index, messages, request)
        try:
            chat = conversation(messages, self._system)
            prompt = self._template.render(chat)
        except PromptError as error:
            return CaptionRequest(index, None, error=str(error))
        return CaptionRequest(index, chat, prompt, parameters)

    def _report(self, generations: Sequence[dict[str, Any]], seconds: float) -> None:
        """Report throughput as lmms-eval's own vLLM models do, and how many clips had sound."""
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


def _is_padding(request: Instance) -> bool:
    # lmms-eval's own mark (``_clone_padding_request``); where it sets none, the copy is asked too.
    return bool((request.metadata or {}).get("__padding_only__"))


def _result(caption: Caption) -> GenerationResult:
    made = caption.generation
    return GenerationResult(caption, TokenCounts(made["prompt_tokens"], made["output_tokens"]))


class Backend:
    """What answers a run's requests: vLLM on this rank's GPUs, watched, or a server elsewhere.

    The engine starts when it is first asked for. A server is looked at at once: a wrong address is
    said before anything is read (``BadAddress``, ``RemoteError``).
    """

    def __init__(self, settings: Settings, family: Family, store: CaptionStore | None) -> None:
        self._settings, self._family, self._store = settings, family, store
        self._engine: Supervisor | RemoteEngine | None = None
        self._restarts_before = 0
        if settings.base_url is not None:
            self.engine()

    @property
    def restarts(self) -> int:
        """How often an engine here died and was started again."""
        return self._restarts_before + getattr(self._engine, "restarts", 0)

    def engine(self) -> Supervisor | RemoteEngine:
        """Return the running engine; raises ``EngineStartError`` where it does not start."""
        settings, family = self._settings, self._family
        if self._engine is not None:
            return self._engine
        if settings.base_url is not None:
            self._engine = RemoteEngine(settings.base_url, model=settings.model, family=family)
            return self._engine
        variables = environment_of_rank(settings.engine)
        started = (settings.model, settings.engine, variables)
        start = partial(LocalEngine, *started, family=family.model_type)
        self._engine = Supervisor(start, patience=settings.engine_timeout)
        logger.info(f"The engine runs: {self._engine.decoding()}.")
        return self._engine

    def made_of(self) -> dict[str, Any]:
        """Return what a caption depends on besides clip, prompt and parameters, by content.

        The names in it, and the fields of the two dataclasses, are part of every key on disk.
        """
        settings, family = self._settings, self._family
        handover = asdict(settings.processor_inputs(family))
        images = [handover.pop(name) for name in ("image_min_pixels", "image_max_pixels")]
        made_of: dict[str, Any] = {
            "frames": asdict(settings.frame_sampling(family)),
            "handover": handover,
            "sound": settings.use_audio_in_video,
            "on_overflow": settings.on_overflow,
        }
        if images != [None, None]:  # keys are older than these two
            made_of["images"] = images
        if settings.base_url is not None and isinstance(server := self.engine(), RemoteEngine):
            return made_of | {"model": server.identity()}
        digest = _digest if self._store is None else self._store.digest
        return made_of | {
            "model": checkpoint_identity(settings.model, settings.engine.get("revision"), digest),
            "engine": engine_identity(settings.engine),
            "runs_on": positions.engine_words(family.model_type),
        }

    def close(self) -> None:
        """Stop the engine if it runs; it is started again when it is needed again."""
        self._restarts_before, engine, self._engine = self.restarts, self._engine, None
        if engine is not None:
            engine.close()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Interrupts:
    """While entered, the first Ctrl-C lets what is in flight finish; the second stops at once.

    So does the first one before :meth:`then`: there is nothing to be finished yet. Signals belong
    to the main thread; entered in another one it changes nothing. Where the process ignores Ctrl-C,
    as a shell has it for what runs in the background, it stays ignored.
    """

    def __init__(self, what: str) -> None:
        self.asked = False  # whether to stop taking new work
        self._what = what
        self._before: Any = None  # the handler, once it is replaced
        self._then: Callable[[], None] | None = None

    def then(self, action: Callable[[], None]) -> None:
        """Do this at the first Ctrl-C from now on. It must be short: it interrupts anything."""
        self._then = action

    def __enter__(self) -> Interrupts:
        before = signal.getsignal(signal.SIGINT)
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._first)
            # A handler that was not set from Python (None) cannot be set back from it.
            self._before = before or signal.default_int_handler
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _first(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._before)
        # The handler before this one may have something to stop, too, without ending the run.
        told = getattr(self._before, "interrupted", None)
        if callable(told):
            told()
        if self._then is None:
            raise KeyboardInterrupt
        self.asked = True
        self._then()
        logger.warning(
            f"Interrupted: what is in flight is {self._what}. Once more to stop at once."
        )
