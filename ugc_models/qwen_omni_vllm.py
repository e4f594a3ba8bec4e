"""The lmms-eval model ``qwen_omni_vllm``, also ``omni_vllm``: models that hear, on vLLM.

The way of a request: messages (``rounds.py``) -> conversation -> prompt -> answer on disk, or else
media (read ahead, in worker processes) -> engine -> :class:`~ugc_models.captions.Caption`, on disk
before it is counted or the task gets it (``pipeline.py``). The engine starts with the first request
that needs one, not with the model: what is missing in a task's data is said before a GPU is
touched, and a rerun that lacks nothing touches none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from loguru import logger as _loguru
from tqdm import tqdm

from ugc_models.captions import Caption
from ugc_models.config import Settings
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import Engine, harmless_record
from ugc_models.engine.family import family_of
from ugc_models.engine.local import engine_argument_names
from ugc_models.manifest import Listeners, attend, bypass
from ugc_models.request.generation import generation_parameters, remarks, stated
from ugc_models.request.prompt import ChatTemplate, PromptError, conversation
from ugc_models.run.backend import Backend
from ugc_models.run.interrupts import Interrupts
from ugc_models.run.outcomes import SAID, Outcomes
from ugc_models.run.pipeline import CaptionRequest, Pipeline, Reader
from ugc_models.run.rounds import Rounds, Turn
from ugc_models.store import CaptionStore, open_store

logger = _loguru.patch(harmless_record)


class RequestFailed(RuntimeError):
    """A request failed, and the run was told to stop then."""


class QwenOmniVLLM(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """Qwen-Omni or Gemma-3n on vLLM, with the sound of the video.

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
        attend()
        # A server has an engine of its own; of its arguments only these mean something here.
        served = arguments.get("base_url") is not None
        names = {"seed", "revision"} if served else engine_argument_names()
        self.settings = Settings.from_arguments(arguments, names)
        revision = self.settings.engine.get("revision")
        self._family = family_of(self.settings.model, revision)
        self.settings.processor_inputs(self._family)  # refuses what this family cannot be told
        self._template = ChatTemplate(
            self.settings.model, revision, takes_videos=self._family.takes_videos
        )
        self._system = self.settings.system_text()
        self._store: CaptionStore | None = open_store(self.settings.store)
        self._backend = Backend(self.settings, self._family, self._store)
        self._outcomes = Outcomes()
        self._remarked: set[str] = set()  # said once a run

    @property
    def device(self) -> Any:
        """Where lmms-eval gathers its counts across ranks."""
        accelerator = getattr(self, "accelerator", None)
        return accelerator.device if accelerator is not None else "cpu"

    def generate_until(
        self, requests: list[Instance], *, several: bool = False
    ) -> list[GenerationResult]:
        """Answer requests; one that fails is answered with an empty text that says why.

        What lmms-eval adds to make the shares of several ranks even is not asked: it throws the
        answer away. The first Ctrl-C finishes and keeps what is in flight and then raises; a second
        one raises at once.

        Raises:
            ValueError: generation arguments that cannot be followed.
            CheckpointError: the checkpoint's processor cannot be loaded.
            EngineStartError: vLLM does not start.
            EngineGivenUp: it dies again and again.
            CaptionStoreError: answers cannot be kept; those before this one are.
            RequestFailed: one failed, and ``on_error=stop``.
        """
        asked = [request for request in requests if not _is_padding(request)]
        rounds = Rounds(asked, self._document, several=several)
        made: list[dict[str, Any]] = []
        listeners, failed, done = Listeners(asked), "", 0
        kept, unwell = self._store is not None, self._outcomes.unwell
        started = time.perf_counter()
        bar = tqdm(total=len(asked), desc="Model Responding", disable=self.rank != 0)
        try:
            with (
                bar,
                Interrupts("finished and kept" if kept else "finished") as interrupts,
                DecodePool(self.settings.decode_workers) as pool,
            ):
                pipeline = self._pipeline(asked, rounds, pool, interrupts, listeners)
                for index, answer in pipeline.run():
                    made.append(answer.generation)
                    listeners.tell(index, answer)
                    if said := self._note(rounds.request(index), answer.generation):
                        failed = failed or said
                        if self.settings.on_error == "stop":
                            pipeline.stop()
                    if rounds.answered(index, answer):
                        done += 1
                        bar.update()
            if interrupts.asked:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_so_far(done, len(asked), kept=kept)) from None
        for line in self._outcomes.lines() if self._outcomes.unwell > unwell else ():
            logger.warning(line if self.world_size == 1 else f"rank {self.rank}: {line}")
        if failed and self.settings.on_error == "stop":
            raise RequestFailed(f"{failed}; on_error=stop: {_so_far(done, len(asked), kept=kept)}")
        self._report(made, time.perf_counter() - started)
        answers = iter(rounds.answers())
        result = _result_of_rounds if several else _result
        return [result([] if _is_padding(r) else next(answers)) for r in requests]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer requests in as many rounds as their tasks ask for (``rounds.py``).

        The rounds of a request follow each other, many requests are in flight at once, and each
        round's answer is kept before the next one is asked. Raises as :meth:`generate_until`.
        """
        return self.generate_until(requests, several=True)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: tasks of multiple choice by likelihood need another model."""
        raise NotImplementedError(_no_likelihoods({request.task_name for request in requests}))

    def evaluation_begins(self, tasks: Mapping[str, Any]) -> None:
        """Refuse what cannot be done, before anything is asked or an engine started.

        Raises:
            ValueError: tasks that want likelihoods, or generation arguments that cannot be
                followed, of all tasks at once.
        """
        self._outcomes = Outcomes()
        kinds = {name: getattr(task, "OUTPUT_TYPE", None) for name, task in tasks.items()}
        if wrong := {
            n for n, kind in kinds.items() if kind in {"loglikelihood", "multiple_choice"}
        }:
            raise ValueError(_no_likelihoods(wrong))
        self._parameters(
            [
                (name, stated(task.config.generation_kwargs or {}, task.doc_to_messages))
                for name, task in tasks.items()
                if hasattr(task, "doc_to_messages")
            ]
        )

    def evaluation_facts(self) -> dict[str, Any]:
        """Return what belongs into lmms-eval's results: requests that were not answered."""
        facts = self._outcomes.facts()
        return {"unanswered": facts} if facts else {}

    def _document(self, request: Instance) -> Any:
        _, _, _, doc_id, task, split = request.arguments
        return self.task_dict[task][split][doc_id]

    def _note(self, request: Instance, generation: Mapping[str, Any]) -> str | None:
        """Count what became of a request; return the sentence on it if it failed."""
        task, document = request.task_name, request.doc_id
        alike = self._outcomes.note(task, document, generation)
        if not alike:
            return None
        said = f"{task} document {document}: no answer: {generation['error']}"
        if alike <= SAID:
            more = " (more of this kind are counted only)" if alike == SAID else ""
            logger.warning(f"{said}{more}")
        return said

    def clean(self) -> None:
        """Stop the engine: the GPU is free for a judge that runs on it."""
        self._backend.close()
        self._gather()
        super().clean()

    def _gather(self) -> None:
        """Add up the counts of all ranks: lmms-eval cleans models when all have answered."""
        import torch.distributed as ranks

        if self.world_size > 1 and ranks.is_available() and ranks.is_initialized():
            found: list[Any] = [None] * self.world_size
            ranks.all_gather_object(found, self._outcomes.totals())
            self._outcomes = Outcomes()
            for totals in found:
                self._outcomes.add(*totals)

    def _pipeline(
        self,
        requests: Sequence[Instance],
        rounds: Rounds,
        pool: DecodePool,
        interrupts: Interrupts,
        listeners: Listeners,
    ) -> Pipeline:
        settings, family, store = self.settings, self._family, self._store
        # All of them first: an argument that means nothing is said before a file is read.
        parameters = self._parameters(
            [(r.task_name, stated(r.arguments[2], r.arguments[1])) for r in requests]
        )
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
            # A map goes on where what it is of goes on after an end; a generator would not.
            map(partial(self._caption_request, parameters, listeners), rounds),
            reader,
            start,
            inputs=settings.processor_inputs(family),
            render=self._template.render,
            setup=settings.decoding(family),
            store=store,
            workers=settings.decode_workers,
            window=settings.max_in_flight,
            fewer_frames=settings.on_overflow == "fewer_frames",
        )
        return pipeline

    def _parameters(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Return vLLM's sampling parameters for what tasks state.

        Raises:
            ValueError: arguments that cannot be followed, of all tasks at once.
        """
        preset, seed = self.settings.generation(), self.settings.engine.get("seed", 0)
        found: list[dict[str, Any]] = []
        refused: dict[str, set[str]] = {}
        remarked: dict[str, set[str]] = {}
        for task, said in requests:
            try:
                found.append(generation_parameters(said, preset=preset, seed=seed))
            except (TypeError, ValueError) as error:
                refused.setdefault(str(error), set()).add(task)
            for name, remark in remarks(said).items():
                remarked.setdefault(f"{name}: {remark}", set()).add(task)
        if refused:
            raise ValueError(_by_task(refused))
        for line in sorted(set(remarked) - self._remarked):
            logger.info(f"Generation argument {_by_task({line: remarked[line]})}.")
        self._remarked |= set(remarked)
        return found

    def _caption_request(
        self, parameters: Sequence[dict[str, Any]], listeners: Listeners, turn: Turn
    ) -> CaptionRequest:
        if turn.error is not None:
            return CaptionRequest(turn.index, None, error=turn.error)
        task, document = turn.request.task_name, turn.request.doc_id
        if listeners.add(turn.index, turn.messages, turn.request):
            self._outcomes.listens(task)
        try:
            chat = conversation(turn.messages, self._system)
            prompt = self._template.render(chat)
        except PromptError as error:
            return CaptionRequest(turn.index, None, error=str(error))
        if turn.lacks_media and self._outcomes.without_media(task, document) <= SAID:
            logger.warning(f"{task} document {document}: no media: it is asked with text alone")
        return CaptionRequest(turn.index, chat, prompt, parameters[turn.place])

    def _report(self, generations: Sequence[dict[str, Any]], seconds: float) -> None:
        """Report throughput as lmms-eval's own vLLM models do, and how many requests had sound."""
        made = [g for g in generations if not g["stored"]]
        tokens = sum(g["output_tokens"] or 0 for g in made)
        log_metrics(
            total_elapsed_time=seconds,
            total_gen_tokens=tokens,
            avg_speed=tokens / seconds if seconds else 0.0,
            additional_metrics={
                "requests": len(generations),
                "requests_heard": sum(g["heard"] for g in generations),
                "requests_failed": sum(g["error"] is not None for g in generations),
                "answers_stored": len(generations) - len(made),
                "engine_restarts": self._backend.restarts,
                "rank": self.rank,
            },
        )


def _by_task(lines: Mapping[str, set[str]]) -> str:
    return "; ".join(f"{line} ({', '.join(sorted(tasks))})" for line, tasks in lines.items())


def _is_padding(request: Instance) -> bool:
    # lmms-eval's own mark (``_clone_padding_request``); where it sets none, the copy is asked too.
    return bool((request.metadata or {}).get("__padding_only__"))


def _no_likelihoods(tasks: Iterable[str]) -> str:
    return (
        f"this model generates text and gives no likelihoods, which {', '.join(sorted(tasks))} "
        "would need: leave these tasks out"
    )


def _so_far(answered: int, asked: int, *, kept: bool) -> str:
    more = "run the same command again to go on" if kept else "none is kept (store=none)"
    return f"{answered} of {asked} requests are answered; {more}"


def _result_of_rounds(answers: Sequence[Any]) -> GenerationResult:
    made = [answer.generation for answer in answers if isinstance(answer, Caption)]
    counts = (
        sum(generation[name] or 0 for generation in made)
        for name in ("prompt_tokens", "output_tokens")
    )
    return GenerationResult(list(answers), TokenCounts(*counts))


def _result(answers: Sequence[Any]) -> GenerationResult:
    if not answers:
        return GenerationResult("")
    made = answers[0].generation
    return GenerationResult(answers[0], TokenCounts(made["prompt_tokens"], made["output_tokens"]))
