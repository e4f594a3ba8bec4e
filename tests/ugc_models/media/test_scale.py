"""Colour and sharpness of the small frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.support.clips import CORNERS, read_corners, write_clip
from ugc_models.media.clip import read_clip
from ugc_models.media.scale import Orientation

STORED: dict[str, dict[str, Any]] = {
    "BT.601": {},
    "BT.709": {"bt709": True},
    "BT.709, full range": {"bt709": True, "full_range": True},
    "BT.601, full range": {"full_range": True},
    "10 bits, BT.709": {"pix_fmt": "yuv420p10le", "bt709": True},
    "4:4:4": {"pix_fmt": "yuv444p"},
    "HEVC, BT.709": {"codec": "libx265", "bt709": True},
    "HEVC, 10 bits, full range": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "full_range": True,
    },
}


@pytest.mark.parametrize("name", STORED)
def test_colours_are_those_that_were_filmed(name: str, tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "a.mp4", seconds=0.2, audio=None, **STORED[name]))
    for corner, colour in read_corners(clip.frames[-1]).items():
        assert colour == pytest.approx(CORNERS[corner], abs=4), corner


def test_shrinking_is_as_smooth_as_pillows_bicubic(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", width=960, height=544, seconds=0.2, audio=None)
    small = read_clip(path).frames[0]
    with av.open(str(path)) as container:
        full = next(container.decode(video=0)).to_ndarray(format="rgb24")
    height, width = small.shape[:2]
    reference = np.asarray(
        Image.fromarray(full).resize((width, height), Image.Resampling.BICUBIC), dtype=int
    )
    assert np.abs(reference - small).mean() < 1.0
    assert np.percentile(np.abs(reference - small), 99) < 25


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (Orientation(), [[1, 2], [3, 4]]),
        (Orientation(mirror_x=True), [[2, 1], [4, 3]]),
        (Orientation(mirror_y=True), [[3, 4], [1, 2]]),
        (Orientation(transpose=True), [[1, 3], [2, 4]]),
        (Orientation(transpose=True, mirror_x=True), [[3, 1], [4, 2]]),
        (Orientation(transpose=True, mirror_y=True), [[2, 4], [1, 3]]),
    ],
)
def test_a_picture_is_transposed_then_mirrored(
    turn: Orientation, expected: list[list[int]]
) -> None:
    picture = np.repeat(np.array([[1, 2], [3, 4]], np.uint8)[..., None], 3, axis=2)
    assert turn.apply(picture)[..., 0].tolist() == expected
