"""What our models have in common: lmms-eval's requests in, answers out, nothing lost between.

The way of a request: messages (``rounds.py``) -> conversation -> prompt -> answer on disk, or else
media (read ahead) -> engine -> :class:`~ugc_models.captions.Caption`, on disk before it is counted
or the task gets it (``pipeline.py``). The engine starts with the first request that needs one, not
with the model: what is missing in a task's data is said before a GPU is touched, and a rerun that
lacks nothing touches none.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from loguru import logger as _loguru
from tqdm import tqdm

from ugc_models.captions import Caption
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import Engine, EngineStopped, harmless_record
from ugc_models.manifest import Listeners, attend, bypass
from ugc_models.request.generation import remarks, stated
from ugc_models.request.prompt import Conversation, PromptError, conversation
from ugc_models.run.interrupts import Interrupts
from ugc_models.run.outcomes import SAID, Outcomes
from ugc_models.run.pipeline import CaptionRequest, Pipeline, Reader
from ugc_models.run.rounds import Rounds, Turn
from ugc_models.store import CaptionStore

logger = _loguru.patch(harmless_record)

StoredCheck = Callable[[Sequence[tuple[Any, str | None]]], None]


class RequestFailed(RuntimeError):
    """A request failed, and the run was told to stop then."""


class AnsweringSettings(Protocol):
    """What every model's arguments have."""

    @property
    def on_error(self) -> Literal["continue", "stop"]:
        """What is done at a request that fails."""

    @property
    def decode_workers(self) -> int:
        """Processes that read media."""


class AnsweringModel(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """A chat model of lmms-eval whose requests go through the pipeline.

    A model of its own says what is asked of an engine (:meth:`_answers`), and starts it.
    """

    is_simple = False
    keeps_answers = True  # see ugc_models.manifest.bypass

    def __init__(
        self, settings: AnsweringSettings, store: CaptionStore | None, system: str | None
    ) -> None:
        super().__init__()
        bypass()
        attend()
        self._answering, self._store, self._system = settings, store, system
        self._outcomes = Outcomes()
        self._remarked: set[str] = set()  # said once a run
        self._checks: dict[str, StoredCheck] = {}

    @abstractmethod
    def _render(self, chat: Conversation) -> str:
        """Return the prompt of a conversation; raises ``PromptError`` where it has none."""

    @abstractmethod
    def _generation(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the engine's parameters for what a task states; raises ``ValueError``."""

    @abstractmethod
    def _reader(self, pool: DecodePool) -> Reader:
        """Return what finds stored answers, or reads media."""

    @abstractmethod
    def _answers(
        self, requests: Iterable[CaptionRequest], reader: Reader, start: Callable[[], Engine]
    ) -> Pipeline:
        """Return the pipeline for requests; ``start`` returns :meth:`_engine`."""

    @abstractmethod
    def _engine(self) -> Engine:
        """Return the running engine."""

    @abstractmethod
    def _close(self) -> None:
        """Stop the engine if it runs."""

    def _measured(self) -> dict[str, Any]:
        """Return what else is reported beside the throughput."""
        return {}

    def _remarks(self, said: Mapping[str, Any]) -> dict[str, str]:
        """Return what of a task's generation arguments is not done as it stands."""
        return remarks(said)

    def _share(self) -> Any:
        """Return what else is added up over all ranks, for :meth:`_take`."""

    def _take(self, shares: list[Any]) -> None:
        """Add up what all ranks gave."""

    def _begun(self, requests: int) -> None:
        """Called before so many requests are answered."""

    def _finished(self) -> None:
        """Called when requests are answered, or the run ends before that."""

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
        self._begun(len(asked))
        bar = tqdm(total=len(asked), desc="Model Responding", disable=self.rank != 0)
        try:
            with (
                bar,
                Interrupts("finished and kept" if kept else "finished") as interrupts,
                DecodePool(self._answering.decode_workers) as pool,
            ):
                pipeline = self._pipeline(asked, rounds, pool, interrupts, listeners)
                for index, answer in pipeline.run():
                    made.append(answer.generation)
                    listeners.tell(index, answer)
                    if said := self._note(rounds.request(index), answer.generation):
                        failed = failed or said
                        if self._answering.on_error == "stop":
                            pipeline.stop()
                    if rounds.answered(index, answer):
                        done += 1
                        bar.update()
            if interrupts.asked:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_so_far(done, len(asked), kept=kept)) from None
        except EngineStopped as stopped:
            raise EngineStopped(f"{stopped}; {_so_far(done, len(asked), kept=kept)}") from None
        finally:
            self._finished()
        for line in self._outcomes.lines() if self._outcomes.unwell > unwell else ():
            logger.warning(line if self.world_size == 1 else f"rank {self.rank}: {line}")
        if failed and self._answering.on_error == "stop":
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

    def show_stored(self, checks: Mapping[str, StoredCheck]) -> None:
        """Show each task's check its documents with stored answers, before any other is made.

        A document whose answer is yet to be made has None. A check raises to end the evaluation:
        a judge that has been shut down says so before a GPU is touched.
        """
        self._checks = dict(checks)

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
        self._close()
        self._gather()
        super().clean()

    def _gather(self) -> None:
        """Add up the counts of all ranks: lmms-eval cleans models when all have answered."""
        import torch.distributed as ranks

        if self.world_size > 1 and ranks.is_available() and ranks.is_initialized():
            found: list[Any] = [None] * self.world_size
            ranks.all_gather_object(found, (self._outcomes.totals(), self._share()))
            self._outcomes = Outcomes()
            for totals, _ in found:
                self._outcomes.add(*totals)
            self._take([share for _, share in found])

    def _pipeline(
        self,
        requests: Sequence[Instance],
        rounds: Rounds,
        pool: DecodePool,
        interrupts: Interrupts,
        listeners: Listeners,
    ) -> Pipeline:
        # All of them first: an argument that means nothing is said before a file is read.
        parameters = self._parameters(
            [(r.task_name, stated(r.arguments[2], r.arguments[1])) for r in requests]
        )

        reader = self._reader(pool)
        for task, check in self._checks.items():
            # Not by ``task_name``, which may be what a task's metadata says.
            of_task = [i for i, request in enumerate(requests) if request.arguments[4] == task]
            check([self._with_stored(requests[i], parameters[i], reader) for i in of_task])

        def start() -> Engine:
            engine = self._engine()
            interrupts.then(pipeline.stop)
            return engine

        # A map goes on where what it is of goes on after an end; a generator would not.
        asked = map(partial(self._caption_request, parameters, listeners), rounds)
        pipeline = self._answers(asked, reader, start)
        return pipeline

    def _parameters(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Return the engine's parameters for what tasks state.

        Raises:
            ValueError: arguments that cannot be followed, of all tasks at once.
        """
        found: list[dict[str, Any]] = []
        refused: dict[str, set[str]] = {}
        remarked: dict[str, set[str]] = {}
        for task, said in requests:
            try:
                found.append(self._generation(said))
            except (TypeError, ValueError) as error:
                refused.setdefault(str(error), set()).add(task)
            for name, remark in self._remarks(said).items():
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
            prompt = self._render(chat)
        except PromptError as error:
            return CaptionRequest(turn.index, None, error=str(error))
        if turn.lacks_media and self._outcomes.without_media(task, document) <= SAID:
            logger.warning(f"{task} document {document}: no media: it is asked with text alone")
        return CaptionRequest(turn.index, chat, prompt, parameters[turn.place])

    def _with_stored(
        self, request: Instance, parameters: Mapping[str, Any], reader: Reader
    ) -> tuple[Any, str | None]:
        document = self._document(request)
        try:
            chat = conversation(request.arguments[1](document), self._system)
            asked = CaptionRequest(0, chat, self._render(chat), parameters)
        except PromptError:
            return document, None
        return document, reader.stored(asked)

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
                "requests_heard": sum(bool(g["heard"]) for g in generations),
                "requests_failed": sum(g["error"] is not None for g in generations),
                "answers_stored": len(generations) - len(made),
                **self._measured(),
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
