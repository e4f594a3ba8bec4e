"""What answers a run's requests: an engine on this machine, watched, or servers elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from loguru import logger

from ugc_models.engine import positions
from ugc_models.engine.base import Engine
from ugc_models.engine.family import Family
from ugc_models.engine.local import LocalEngine
from ugc_models.engine.process import environment_of_rank
from ugc_models.engine.server.remote import RemoteEngine
from ugc_models.engine.supervisor import Supervisor
from ugc_models.identity import checkpoint_identity, engine_identity
from ugc_models.settings import Settings
from ugc_models.store import CaptionStore


class Backend(Protocol):
    """Starts an engine when the first request needs one."""

    @property
    def restarts(self) -> int:
        """How often the engine died and was started again."""

    def engine(self) -> Engine:
        """Return the running engine; the same one each time."""

    def made_of(self) -> dict[str, Any]:
        """Return what captions depend on besides clip, prompt and sampling, by content."""

    def close(self) -> None:
        """Stop the engine if it runs; it is started again when it is needed again."""


def backend_for(settings: Settings, family: Family, store: CaptionStore | None) -> Backend:
    """Return servers where ``base_url`` names some, else vLLM in processes of this machine.

    Raises:
        BadAddress: ``base_url`` is none.
        RemoteError: none of the servers answers, or none serves the model.
    """
    if settings.base_url is not None:
        return Server(settings, family)
    return ThisMachine(settings, family, store)


class ThisMachine:
    """vLLM's engine on this rank's GPUs."""

    def __init__(self, settings: Settings, family: Family, store: CaptionStore | None) -> None:
        self._settings = settings
        self._family = family
        self._store = store
        self._supervisor: Supervisor | None = None
        self._restarts_before = 0

    @property
    def restarts(self) -> int:
        """How often the engine died and was started again."""
        return self._restarts_before + (self._supervisor.restarts if self._supervisor else 0)

    def engine(self) -> Engine:
        """Return the running engine; raises ``EngineStartError`` where it does not start."""
        if self._supervisor is None:
            arguments = self._settings.engine
            start = partial(
                LocalEngine,
                self._settings.model,
                arguments,
                environment_of_rank(arguments),
                family=self._family.model_type,
            )
            self._supervisor = Supervisor(start, patience=self._settings.engine_timeout)
            logger.info(f"The engine runs: {self._supervisor.decoding()}.")
        return self._supervisor

    def made_of(self) -> dict[str, Any]:
        """Return checkpoint by content, engine arguments, and the engine's version."""
        settings = self._settings
        digest = self._store.digest if self._store is not None else _digest
        return _media(settings, self._family) | {
            "model": checkpoint_identity(settings.model, settings.engine.get("revision"), digest),
            "engine": engine_identity(settings.engine),
            "runs_on": positions.engine_words(self._family.model_type),
        }

    def close(self) -> None:
        """Stop the engine if it runs."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            self._restarts_before += supervisor.restarts
            supervisor.close()


class Server:
    """``vllm serve`` at an address."""

    restarts = 0

    def __init__(self, settings: Settings, family: Family) -> None:
        self._settings = settings
        self._family = family
        self._remote: RemoteEngine | None = None
        self.engine()  # a wrong address is said before anything is read

    def engine(self) -> Engine:
        """Return the connection to the servers."""
        return self._connected()

    def made_of(self) -> dict[str, Any]:
        """Return what the servers say of their model and version."""
        settings = self._settings
        remote = self._connected()
        return _media(settings, self._family) | {"model": remote.identity()}

    def close(self) -> None:
        """Close the connections."""
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.close()

    def _connected(self) -> RemoteEngine:
        if self._remote is None:
            assert self._settings.base_url is not None  # noqa: S101  # see backend_for
            self._remote = RemoteEngine(
                self._settings.base_url, model=self._settings.model, family=self._family
            )
        return self._remote


def _media(settings: Settings, family: Family) -> dict[str, Any]:
    return {
        "frames": asdict(settings.sampling(family)),
        "handover": asdict(settings.processor_inputs(family)),
        "sound": settings.use_audio_in_video,
        "on_overflow": settings.on_overflow,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
