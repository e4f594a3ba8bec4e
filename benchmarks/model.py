"""The lmms-eval model itself, as lmms-eval calls it, with notes taken at its engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import Instance

from benchmarks.asking import messages
from benchmarks.engines import Metered
from benchmarks.loops import Unanswered
from ugc_models.backend import Backend
from ugc_models.engine.base import Engine
from ugc_models.qwen_omni_vllm import QwenOmniVLLM

_TASK, _SPLIT = "benchmark", "clips"


class MeteredBackend:
    """A backend whose engine takes notes, and can be exchanged for another one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._engine: Metered | None = None
        self.instead: Engine | None = None
        """Asked in the place of the backend's own engine, while it is set."""

    @property
    def restarts(self) -> int:
        """How often the engine died and was started again."""
        return self._backend.restarts

    def engine(self) -> Metered:
        """Return the engine, started with the first call, its notes begun anew."""
        self._engine = Metered(self.instead or self._backend.engine())
        return self._engine

    def notes(self) -> Metered:
        """Return the engine of the last run with its notes."""
        assert self._engine is not None, "nothing was asked yet"
        return self._engine

    def made_of(self) -> dict[str, Any]:
        """Return what captions depend on."""
        return self._backend.made_of()

    def close(self) -> None:
        """Stop the engine."""
        self._backend.close()


class MeteredModel(QwenOmniVLLM):
    """``qwen_omni_vllm`` with a :class:`MeteredBackend`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.backend = MeteredBackend(self._backend)
        self._backend = self.backend

    def captions(self, clips: Sequence[Path], generation: Mapping[str, Any]) -> list[str]:
        """Return the captions of clips, asked for as lmms-eval does.

        Raises:
            Unanswered: a clip has none.
        """
        self.task_dict = {_TASK: {_SPLIT: list(clips)}}
        requests = [
            Instance(
                request_type="generate_until",
                arguments=("", messages, dict(generation), index, _TASK, _SPLIT),
                idx=0,
                metadata={"task": _TASK, "doc_id": index, "repeats": 1},
            )
            for index in range(len(clips))
        ]
        captions = [result.text for result in self.generate_until(requests)]
        for clip, caption in zip(clips, captions, strict=True):
            if (error := caption.generation["error"]) is not None:
                raise Unanswered(f"{clip.name}: {error}")
        return [str(caption) for caption in captions]
