"""The clips of the measurements from end to end: of TikTok's shape, of several lengths."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.clips import Shape, clip_of

LENGTHS = 15
"""How many lengths there are, a second apart. Each is a file of its own, with its own picture."""


def tiktok_shapes(mean_seconds: float) -> list[Shape]:
    """Return 1080x1920 clips at 30 frames a second, seven seconds around the mean at most."""
    middle = LENGTHS // 2
    order = [at * 7 % LENGTHS for at in range(LENGTHS)]  # long and short ones in turn
    return [Shape(seconds=mean_seconds + at - middle, seed=at) for at in order]


def small_shapes() -> list[Shape]:
    """Return the few small, short clips that a quick run is content with."""
    return [Shape(seconds=1.0 + at, width=360, height=640, seed=at) for at in range(3)]


def clips(shapes: list[Shape], count: int) -> list[Path]:
    """Return ``count`` paths to the clips of these shapes in turn, written where they are not yet.

    Where there are fewer shapes than paths, files come again: with no store of captions, and none
    of processed media, nothing is spared by that.
    """
    needed = shapes[:count]
    # Writing one takes as long as it lasts, mostly on one core.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        files = list(processes.map(clip_of, needed))
    return [files[at % len(files)] for at in range(count)]


def linked(clip: Path, folder: Path, count: int) -> list[Path]:
    """Return ``count`` names in ``folder`` for one clip: hard links, or copies where they fail."""
    names = [folder / f"clip-{at:05}.mp4" for at in range(count)]
    for name in names:
        try:
            os.link(clip, name)
        except OSError:
            name.write_bytes(clip.read_bytes())
    return names
