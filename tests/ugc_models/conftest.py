"""Fixtures of the model tests: the engine, and transformers beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import QUICK
from tests.support.transformers_reference import Reference
from ugc_models.engine.local import LocalEngine
from ugc_models.run.backend import Backend


class SharedEngine:
    """One engine for all tests, in a process of its own: it takes long to start."""

    def __init__(self, checkpoint: Path, **more: Any) -> None:
        self._checkpoint = checkpoint
        self._more = more
        self._engine: LocalEngine | None = None

    def running(self) -> LocalEngine:
        if self._engine is None:
            self._engine = LocalEngine(str(self._checkpoint), {**QUICK, **self._more})
        return self._engine

    def lent_to(self, model: Any) -> Any:
        """Have a model answer with this engine; it neither starts nor stops one."""
        shared = self

        class Borrowed(Backend):
            def engine(self) -> LocalEngine:
                return shared.running()

            def close(self) -> None:
                pass

        model._backend = Borrowed(model.settings, model._family, model._store)
        return model

    def stop(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None


@pytest.fixture(scope="session")
def shared_engine(checkpoint: Path) -> Iterator[SharedEngine]:
    shared = SharedEngine(checkpoint)
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def piecewise_engine(checkpoint: Path) -> Iterator[SharedEngine]:
    """A second one, which computes prompts in pieces and keeps what prompts begin with.

    It is started where vLLM is told to load another plugin than ours.
    """
    shared = SharedEngine(
        checkpoint,
        enable_prefix_caching=True,
        enable_chunked_prefill=True,
        max_num_batched_tokens=40,  # every prompt with a clip takes several steps
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_PLUGINS", "lora_filesystem_resolver")
        shared.running()
    yield shared
    shared.stop()


@pytest.fixture
def engine(shared_engine: SharedEngine) -> LocalEngine:
    """The shared engine, running."""
    return shared_engine.running()


@pytest.fixture(scope="session")
def reference(checkpoint: Path) -> Reference:
    """The same checkpoint in transformers."""
    return Reference(checkpoint)
