"""Clips of TikTok's shape for measurements: portrait, 30 frames a second, textured, moving.

A flat test picture decodes in half the time of a filmed one. These have a textured background under
an unsteady camera, a moving figure and grain, and come to 1 to 2 Mbit/s at the encoder's usual
quality, about what such services send.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[1]
LENGTHS = 15
"""How many lengths the clips of a run have, a second apart."""
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
    place = folder or Path(tempfile.gettempdir()) / "ugc-videocap-clips"
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
    tone = f"sine=frequency={220 + shape.seed}:sample_rate=44100:duration={shape.seconds}"
    with (
        av.open(tone, format="lavfi") as source,
        av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        video = container.add_stream("libx264", rate=shape.fps)
        video.width, video.height, video.pix_fmt = shape.width, shape.height, "yuv420p"
        keyframes = {"g": str(shape.keyint), "bf": str(shape.b_frames)}
        video.codec_context.options = {"preset": "veryfast", "crf": "26", **keyframes}
        sound = container.add_stream("aac", rate=44_100, layout="stereo")
        samples = source.decode(audio=0)
        random = np.random.default_rng(shape.seed)
        scene = _texture(random, shape.width + 2 * _MARGIN, shape.height + 2 * _MARGIN)
        grain = random.integers(0, 5, (_GRAINS, shape.height, shape.width), dtype=np.uint8)
        figure = 255 - scene[: shape.height // 2, : shape.width // 2]
        colour = np.full((shape.height // 2, shape.width), 118, np.uint8)
        for index in range(round(shape.seconds * shape.fps)):
            at = index / shape.fps
            x = round(_MARGIN * (1 + 0.9 * np.sin(0.7 * at)))
            y = round(_MARGIN * (1 + 0.9 * np.sin(1.1 * at + 1)))
            light = scene[y : y + shape.height, x : x + shape.width] + grain[index % _GRAINS]
            left = round(shape.width / 4 * (1 + 0.9 * np.sin(2.3 * at)))
            top = round(shape.height / 4 * (1 + 0.5 * np.sin(3.1 * at)))
            light[top : top + figure.shape[0], left : left + figure.shape[1]] = figure
            frame = av.VideoFrame.from_ndarray(np.concatenate([light, colour]), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, shape.fps)
            container.mux(video.encode(frame))
            # Both tracks are written in step, as recorders do.
            while (heard := next(samples, None)) is not None:
                container.mux(sound.encode(heard))
                if (heard.time or 0.0) >= at:
                    break
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def _texture(random: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """Return smooth noise at several scales, as walls, skin and leaves are, uint8 (H, W)."""
    total = np.zeros((height, width), np.float32)
    for step, weight in ((128, 4.0), (32, 2.0), (8, 1.0), (2, 0.4)):
        coarse = random.random((height // step + 2, width // step + 2), dtype=np.float32)
        total += weight * np.kron(coarse, np.ones((step, step), np.float32))[:height, :width]
    total = (total - total.min()) / (total.max() - total.min())
    return np.asarray(40 + 160 * total, dtype=np.uint8)
