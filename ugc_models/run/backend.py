"""What answers a run's requests, started when it is first asked for."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger as _loguru

from ugc_models.captions import checkpoint_identity, engine_identity
from ugc_models.config import Settings
from ugc_models.engine import positions
from ugc_models.engine.base import harmless_record
from ugc_models.engine.family import Family
from ugc_models.engine.local import LocalEngine
from ugc_models.engine.process import environment_of_rank
from ugc_models.engine.server.remote import RemoteEngine
from ugc_models.engine.supervisor import Supervisor
from ugc_models.store import CaptionStore

logger = _loguru.patch(harmless_record)


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
            "frames": settings.frame_sampling(family).made_of(),
            "handover": handover,
            "sound": settings.use_audio_in_video,
            "on_overflow": settings.on_overflow,
        }
        if images != [None, None]:  # keys are older than these
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
