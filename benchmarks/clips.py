"""Clips of TikTok's shape for measurements: portrait, 30 frames a second, textured, moving."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.support.clips import write_clip

LENGTHS = 15  # how many lengths the clips of a run have, a second apart


def clip_of(
    seconds: float,
    width: int = 1080,
    height: int = 1920,
    *,
    gop: int = 250,
    b_frames: int = 3,
    seed: int = 0,
) -> Path:
    """Return such a clip, written on the first call into the system's temporary folder.

    ``gop`` is the most frames from one keyframe to the next; it and ``b_frames`` are x264's own.
    """
    folder = Path(tempfile.gettempdir()) / "ugc-videocap-clips"
    folder.mkdir(exist_ok=True)
    path = folder / f"{seconds:g}s-{width}x{height}-{gop}-{b_frames}-{seed}.mp4"
    if not path.exists():
        part = path.with_name(f"part-{os.getpid()}-{path.name}")
        write_clip(
            part,
            width=width,
            height=height,
            fps=30,
            seconds=seconds,
            gop=gop,
            b_frames=b_frames,
            seed=seed,
            filmed=True,
            faststart=True,
        )
        part.replace(path)
    return path


def clips_for_a_run(count: int, mean_seconds: float, *, small: bool = False) -> list[Path]:
    """Return ``count`` clips of several lengths, long and short in turn, each with its own picture.

    They come again where there are not enough: with no store of captions, and none of processed
    media, nothing is spared by that. ``small`` ones are few, short and of 360x640.
    """
    width, height = (360, 640) if small else (1080, 1920)
    lengths = [mean_seconds + at * 7 % LENGTHS - LENGTHS // 2 for at in range(LENGTHS)]
    if small:
        lengths = [1.0, 2.0, 3.0]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        made = [
            processes.submit(clip_of, seconds, width, height, seed=seed)
            for seed, seconds in enumerate(lengths[:count])
        ]
        files = [each.result() for each in made]
    return [files[at % len(files)] for at in range(count)]
