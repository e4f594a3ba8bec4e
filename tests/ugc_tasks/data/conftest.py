"""A real clip and a web host, for what gets clips and what looks at them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clips import write_clip
from tests.support.web_host import WebHost


@pytest.fixture(scope="session")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip of 2 s with picture and sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, seconds=2, faststart=True).read_bytes()


@pytest.fixture
def host() -> Iterator[WebHost]:
    with WebHost().running() as running:
        yield running
