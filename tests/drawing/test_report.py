"""The README's picture can be taken again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawing.report import draw
from tests.support.browser import CHROMIUM


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_picture_is_of_the_size_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    monkeypatch.setenv("UGC_VIDEOCAP_HOME", "")  # so that it is as before at the end
    draw(tmp_path / "report.png")
    picture = cv2.imread(str(tmp_path / "report.png"))
    assert picture is not None
    assert picture.shape == (930, 1200, 3)
    assert len(set(map(bytes, picture.reshape(-1, 3)))) > 1000, "clips are seen"
