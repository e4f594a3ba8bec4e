"""Scaling as OpenCV does it, against OpenCV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.clips import write_clip
from ugc_models.media.bilinear import bilinear
from ugc_models.media.clip import read_clip
from ugc_models.media.sampling import Sampling

cv2 = pytest.importorskip("cv2", reason="OpenCV comes with vLLM")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((1920, 1080), (422, 236)),
        ((480, 270), (422, 236)),
        ((97, 201), (98, 202)),
        ((64, 48), (32, 24)),
        ((5, 400), (2, 100)),
        ((2, 2), (2, 2)),
    ],
)
def test_levels_are_opencv_s_within_one(source: tuple[int, int], target: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*source, 3), dtype=np.uint8)
    ours = bilinear(picture, target[1], target[0]).astype(int)
    theirs = cv2.resize(picture, (target[1], target[0])).astype(int)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("bt709", [False, True])
def test_frames_of_a_clip_are_those_of_the_published_loader(tmp_path: Path, *, bt709: bool) -> None:
    """OpenCV's capture, frames by number, its default scaling, BGR."""
    path = write_clip(
        tmp_path / "a.mp4", width=540, height=960, seconds=1.4, audio=None, bt709=bt709
    )
    capture, raw = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            break
        raw.append(frame)
    numbers = np.linspace(0, len(raw) - 1, 32, dtype=int)
    theirs = np.stack([cv2.resize(raw[number], (236, 422)) for number in numbers])

    sampling = Sampling(
        spread="count", scaling="opencv", factor=2, min_pixels=1, max_pixels=100_176
    )
    ours = read_clip(path, sampling).frames[..., ::-1]

    assert ours.shape == theirs.shape
    off = np.abs(ours.astype(int) - theirs)
    assert off.mean() < 0.5
    assert np.quantile(off, 0.999) <= 3
