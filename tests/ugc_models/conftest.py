"""Fixtures of the model tests: checkpoint, engine, and transformers beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import QUICK
from tests.support.transformers_reference import Reference
from ugc_models.engine.local import LocalEngine
from ugc_models.testing.tiny_omni import build_tiny_omni


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Qwen2.5-Omni."""
    return build_tiny_omni(tmp_path_factory.mktemp("checkpoint") / "tiny-omni")


@pytest.fixture(scope="session")
def engine(checkpoint: Path) -> Iterator[LocalEngine]:
    """One engine for all tests: it starts in seconds, not in milliseconds."""
    engine = LocalEngine(str(checkpoint), {**QUICK, "max_num_batched_tokens": 8192})
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def reference(checkpoint: Path) -> Reference:
    """The same checkpoint in transformers."""
    return Reference(checkpoint)
