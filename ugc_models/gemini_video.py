"""The lmms-eval model ``gemini_video``: the Gemini API, which is sent whole clips with their sound.

What it has in common with other models is in ``run/answering.py``; what answers, in ``gemini/``.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ugc_models.decoding.pool import DecodePool
from ugc_models.engine.base import Engine
from ugc_models.gemini.client import Api
from ugc_models.gemini.cost import Meter
from ugc_models.gemini.engine import GeminiEngine
from ugc_models.gemini.files import FileReader
from ugc_models.gemini.settings import GeminiSettings
from ugc_models.gemini.uploads import leftovers
from ugc_models.request.generation import remarks
from ugc_models.request.prompt import Conversation
from ugc_models.run.answering import AnsweringModel, logger
from ugc_models.run.pipeline import CaptionRequest, Pipeline, Reader
from ugc_models.store import default_path, open_store

_AHEAD = 3  # requests with the engine for each that is answered: the others' files are made ready


class GeminiVideo(AnsweringModel):
    """Gemini by its API: each clip byte for byte, each answer on disk when it comes.

    Takes the arguments of :class:`~ugc_models.gemini.settings.GeminiSettings`. ``batch_size``,
    ``max_batch_size`` and ``device`` are lmms-eval's and mean nothing here.

    Raises:
        ValueError: an unknown argument, no key, or a budget for a model of unknown price.
        GeminiMissing: google-genai is not installed.
        CaptionStoreError: captions cannot be kept where they should.
    """

    def __init__(
        self,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **arguments: Any,
    ) -> None:
        self.settings = settings = GeminiSettings.from_arguments(arguments)
        self._meter = self._new_meter()
        Api(settings.timeout).close()  # what is wrong with the key is said before anything is read
        store = open_store(settings.store)
        super().__init__(settings, store, settings.system_prompt)
        place = default_path() if store is None else Path(store.path)
        self._uploads_folder = place.parent / "gemini-uploads"
        self._running: GeminiEngine | None = None

    def evaluation_begins(self, tasks: Mapping[str, Any]) -> None:
        """Refuse what cannot be done, and say from when another model answers."""
        super().evaluation_begins(tasks)
        self._meter = self._new_meter()
        price = self._meter.price
        if price is not None and price.shutdown and date.today().isoformat() >= price.shutdown:
            logger.warning(
                f"{self.settings.model} was to be shut down on {price.shutdown}: another model may "
                "answer under its name; the results say which did (versions)."
            )

    def evaluation_facts(self) -> dict[str, Any]:
        """Return what belongs into lmms-eval's results: failures, cost, and who answered."""
        spent = self._meter.facts()
        spent["google-genai"] = importlib.metadata.version("google-genai")
        return {**super().evaluation_facts(), "gemini_video": spent}

    def _new_meter(self) -> Meter:
        settings = self.settings
        share = None if settings.budget is None else settings.budget / max(1, _ranks())
        return Meter(settings.model, budget=share, limit=settings.max_output_tokens)

    def _render(self, chat: Conversation) -> str:
        # Part of every key on disk: without paths, since a clip is known by its content.
        turns = [
            [
                message["role"],
                [part.get("text", {"kind": part["type"]}) for part in message["content"]],
            ]
            for message in chat.messages
        ]
        return json.dumps(turns, ensure_ascii=False)

    def _generation(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return self.settings.generation(said)

    def _remarks(self, said: Mapping[str, Any]) -> dict[str, str]:
        return remarks(said) | self.settings.remarks(said)

    def _reader(self, pool: DecodePool) -> Reader:
        return FileReader(pool, store=self._store, made_of=self.settings.made_of())

    def _answers(
        self, requests: Iterable[CaptionRequest], reader: Reader, start: Callable[[], Engine]
    ) -> Pipeline:
        settings = self.settings
        return Pipeline(
            requests,
            reader,
            start,
            inputs=None,
            setup=settings.decoding(),
            store=self._store,
            workers=settings.concurrency,
            window=_AHEAD * settings.concurrency,
        )

    def _begun(self, requests: int) -> None:
        logger.info(f"gemini_video: {self._meter.forecast(requests)}.")

    def _engine(self) -> Engine:
        if self._running is None:
            api = Api(self.settings.timeout)
            self._running = GeminiEngine(api, self.settings, self._uploads_folder, self._meter)
        return self._running

    def _finished(self) -> None:
        """Say what was spent and delete what is ours at Google's, of dead runs too."""
        spent = self._running is not None
        if not spent and leftovers(self._uploads_folder):
            self._engine()
        running, self._running = self._running, None
        if running is None:
            return
        try:
            if left := running.tidy():
                logger.warning(
                    f"gemini_video: {left} uploads could not be deleted; the next run does, and "
                    "Google after 48 hours."
                )
        finally:
            running.close()
        if spent:
            logger.info(f"gemini_video: {self._meter}.")

    def _close(self) -> None:
        self._finished()

    def _measured(self) -> dict[str, Any]:
        return {"usd": self._meter.facts()["usd"]}

    def _share(self) -> Any:
        return self._meter.facts()

    def _take(self, shares: list[Any]) -> None:
        self._meter = self._new_meter()
        for facts in shares:
            self._meter.add(facts)


def _ranks() -> int:
    import torch.distributed as ranks

    return ranks.get_world_size() if ranks.is_available() and ranks.is_initialized() else 1
