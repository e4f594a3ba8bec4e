"""Clips of TikTok's shape for measurements: portrait, 30 frames a second, textured, moving.

A flat test picture decodes in half the time of a filmed one. These have a textured background under
an unsteady camera, a moving figure and grain, and come to 2 to 3 Mbit/s at the encoder's usual
quality, which is what such services send.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[1]
LENGTHS = 15
"""How many lengths the clips of a run have, a second apart."""
_RATE = 44_100
_MARGIN = 96  # pixels by which the camera may stray
_GRAINS = 6


@dataclass(frozen=True)
class Shape:
    """What a clip is like; equal shapes are equal files."""

    seconds: float = 60.0
    width: int = 1080
    height: int = 1920
    fps: int = 30
    keyint: int = 250
    """Most frames from one keyframe to the next; 250 is x264's own."""
    b_frames: int = 3
    seed: int = 0

    @property
    def name(self) -> str:
        """A file name that tells the shapes apart."""
        return "-".join(str(part) for part in astuple(self)) + ".mp4"


def clip_of(shape: Shape, folder: Path | None = None) -> Path:
    """Return a clip of this shape, written on the first call into ``folder``.

    The folder is one in the system's temporary folder unless given: writing a minute takes one.
    """
    place = folder or Path(tempfile.gettempdir()) / "ugc-videocap-bench-clips"
    place.mkdir(parents=True, exist_ok=True)
    path = place / shape.name
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        _write(part, shape)
        part.replace(path)
    return path


def clips_for_a_run(count: int, mean_seconds: float, *, small: bool = False) -> list[Path]:
    """Return ``count`` clips of several lengths, long and short in turn, each with its own picture.

    They come again where there are not enough: with no store of captions, and none of processed
    media, nothing is spared by that. ``small`` ones are few, short and of 360x640.
    """
    if small:
        shapes = [Shape(seconds=1.0 + at, width=360, height=640, seed=at) for at in range(3)]
    else:
        order = [at * 7 % LENGTHS for at in range(LENGTHS)]
        shapes = [Shape(seconds=mean_seconds + at - LENGTHS // 2, seed=at) for at in order]
    # Writing one takes as long as it lasts, mostly on one core.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        files = list(processes.map(clip_of, shapes[:count]))
    return [files[at % len(files)] for at in range(count)]


def _write(path: Path, shape: Shape) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=shape.fps)
        context = video.codec_context
        context.width, context.height, context.pix_fmt = shape.width, shape.height, "yuv420p"
        context.options = {
            "preset": "veryfast",
            "crf": "26",
            "g": str(shape.keyint),
            "bf": str(shape.b_frames),
        }
        sound = container.add_stream("aac", rate=_RATE, layout="stereo")
        count = round(shape.seconds * shape.fps)
        for index, picture in enumerate(_pictures(shape, count)):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, shape.fps)
            container.mux(video.encode(frame))
            if index % shape.fps == 0:
                _write_second(container, sound, index // shape.fps, shape.seed)
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def _pictures(shape: Shape, count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield planar YUV 4:2:0 pictures, uint8 (3/2 H, W)."""
    random = np.random.default_rng(shape.seed)
    width, height = shape.width, shape.height
    scene = _texture(random, width + 2 * _MARGIN, height + 2 * _MARGIN, 40, 200)
    figure = _texture(random, width // 2 // 2 * 2, height // 2 // 2 * 2, 90, 235)
    tint = [
        _texture(random, width // 2 + _MARGIN, height // 2 + _MARGIN, low, low + 40)
        for low in (100, 120)
    ]
    grain = random.integers(0, 5, (_GRAINS, height, width), dtype=np.uint8)
    for index in range(count):
        at = index / shape.fps
        x = round(_MARGIN * (1 + 0.9 * np.sin(0.7 * at)))
        y = round(_MARGIN * (1 + 0.9 * np.sin(1.1 * at + 1)))
        light = scene[y : y + height, x : x + width] + grain[index % _GRAINS]
        left = round(width / 4 * (1 + 0.9 * np.sin(2.3 * at)))
        top = round(height / 4 * (1 + 0.5 * np.sin(3.1 * at)))
        light[top : top + figure.shape[0], left : left + figure.shape[1]] = figure
        colour = [
            each[y // 2 : y // 2 + height // 2, x // 2 : x // 2 + width // 2].reshape(-1, width)
            for each in tint
        ]
        yield np.concatenate([light, *colour])


def _texture(
    random: np.random.Generator, width: int, height: int, low: int, high: int
) -> NDArray[np.uint8]:
    """Return smooth noise at several scales, as walls, skin and leaves are, uint8 (H, W)."""
    total = np.zeros((height, width), np.float32)
    for step, weight in ((128, 4.0), (32, 2.0), (8, 1.0), (2, 0.4)):
        coarse = random.random((height // step + 2, width // step + 2), dtype=np.float32)
        fine = np.kron(coarse, np.ones((step, step), np.float32))
        total += weight * fine[:height, :width]
    total = (total - total.min()) / (total.max() - total.min())
    return np.asarray(low + (high - low) * total, dtype=np.uint8)


def _write_second(
    container: av.container.OutputContainer, stream: AudioStream, second: int, seed: int
) -> None:
    at = second + np.arange(_RATE) / _RATE
    noise = np.random.default_rng([seed, second]).standard_normal((2, _RATE))
    samples = 0.3 * np.sin(2 * np.pi * (220 + 30 * np.sin(at)) * at) + 0.03 * noise
    frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = _RATE, second * _RATE, Fraction(1, _RATE)
    container.mux(stream.encode(frame))
