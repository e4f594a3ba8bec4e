"""The lmms-eval model ``qwen_omni_vllm``, also ``omni_vllm``: models that hear, on vLLM.

What it has in common with other models is in ``run/answering.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ugc_models.config import Settings
from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import Engine
from ugc_models.engine.family import family_of
from ugc_models.engine.local import engine_argument_names
from ugc_models.presets import missing_checkpoint
from ugc_models.request.generation import generation_parameters
from ugc_models.request.prompt import ChatTemplate, Conversation
from ugc_models.run.answering import AnsweringModel
from ugc_models.run.backend import Backend
from ugc_models.run.pipeline import CaptionRequest, Pipeline, Reader
from ugc_models.store import open_store


class QwenOmniVLLM(AnsweringModel):
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

    def __init__(
        self,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **arguments: Any,
    ) -> None:
        # A server has an engine of its own; of its arguments only these mean something here.
        served = arguments.get("base_url") is not None
        names = {"seed", "revision"} if served else engine_argument_names()
        self.settings = Settings.from_arguments(arguments, names)
        if missing := missing_checkpoint(self.settings.model):
            raise ValueError(missing)
        revision = self.settings.engine.get("revision")
        self._family = family_of(self.settings.model, revision)
        self.settings.processor_inputs(self._family)  # refuses what this family cannot be told
        self._template = ChatTemplate(
            self.settings.model, revision, takes_videos=self._family.takes_videos
        )
        system = self.settings.system_text()
        store = open_store(self.settings.store)
        super().__init__(self.settings, store, system)
        self._backend = Backend(self.settings, self._family, store)

    def _render(self, chat: Conversation) -> str:
        return self._template.render(chat)

    def _generation(self, said: Mapping[str, Any]) -> dict[str, Any]:
        preset, seed = self.settings.generation(), self.settings.engine.get("seed", 0)
        return generation_parameters(said, preset=preset, seed=seed)

    def _reader(self, pool: DecodePool) -> Reader:
        settings, family, store = self.settings, self._family, self._store
        return Reader(
            pool,
            settings.frame_sampling(family),
            sound=settings.use_audio_in_video,
            align_sound=settings.align_sound,
            store=store,
            made_of=self._backend.made_of() if store is not None else {},
        )

    def _answers(
        self, requests: Iterable[CaptionRequest], reader: Reader, start: Callable[[], Engine]
    ) -> Pipeline:
        settings, family = self.settings, self._family
        return Pipeline(
            requests,
            reader,
            start,
            inputs=settings.processor_inputs(family),
            render=self._template.render,
            setup=settings.decoding(family),
            store=self._store,
            workers=settings.decode_workers,
            window=settings.max_in_flight,
            fewer_frames=settings.on_overflow == "fewer_frames",
        )

    def _engine(self) -> Engine:
        return self._backend.engine()

    def _close(self) -> None:
        self._backend.close()

    def _measured(self) -> dict[str, Any]:
        return {"engine_restarts": self._backend.restarts}
