"""The same content has the same digest, wherever it is; other content has another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import PIL.Image

from ugc_models.media.source import AudioSource, ImageSource, VideoFile, VideoFrames, digest


def of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_whole_video_is_its_file_and_a_stretch_is_another(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video")
    whole, *parts = (
        digest(VideoFile(path, start, end), of_file)
        for start, end in ((0.0, None), (1.0, None), (0.0, 1.0), (1.0, 2.0))
    )
    assert whole == of_file(path)
    assert len({whole, *parts}) == 4


def test_what_is_in_memory_is_told_apart() -> None:
    red, blue = (PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    samples = np.zeros(16, np.float32)
    sources = [
        ImageSource(red),
        ImageSource(blue),
        ImageSource(red.resize((2, 8))),
        ImageSource(b"bytes"),
        AudioSource(b"bytes"),
        AudioSource(None, samples, 16_000),
        AudioSource(None, samples, 8_000),
        AudioSource(None, samples.reshape(2, 8), 16_000),
        VideoFrames([red]),
        VideoFrames([red, red]),
        VideoFrames([red], fps=1.0),
    ]
    assert len({digest(source, of_file) for source in sources}) == len(sources)


def test_of_a_palette_the_colours_count() -> None:
    first, second = (PIL.Image.new("P", (4, 4)) for _ in range(2))
    first.putpalette([9, 9, 9])
    second.putpalette([8, 8, 8])
    assert digest(ImageSource(first), of_file) != digest(ImageSource(second), of_file)
    assert digest(ImageSource(first), of_file) == digest(ImageSource(first.copy()), of_file)
