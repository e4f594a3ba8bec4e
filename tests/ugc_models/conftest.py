"""Fixtures of the model tests: checkpoint, engine, and transformers beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import QUICK
from tests.support.transformers_reference import Reference
from ugc_models.engine.local import LocalEngine
from ugc_models.testing.tiny_omni import build_tiny_omni


class SharedEngine:
    """One engine for all tests: it starts in seconds, not in milliseconds.

    Two engines in one process share vLLM's state: a test that starts and stops its own calls
    ``stop`` first, and the next test that needs the shared one gets a new one.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self._engine: LocalEngine | None = None

    def running(self) -> LocalEngine:
        if self._engine is None:
            self._engine = LocalEngine(str(self._checkpoint), QUICK)
        return self._engine

    def stop(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Qwen2.5-Omni."""
    return build_tiny_omni(tmp_path_factory.mktemp("checkpoint") / "tiny-omni")


@pytest.fixture(scope="session")
def shared_engine(checkpoint: Path) -> Iterator[SharedEngine]:
    shared = SharedEngine(checkpoint)
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
