"""Clips of TikTok's shape for measurements: portrait, 30 frames a second, textured, moving.

Short, because the tests' generator draws them.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.support.clips import write_clip

LENGTHS = 15  # how many lengths the clips of a run have, a second apart
_AS_X264 = {"width": 1080, "height": 1920, "gop": 250, "b_frames": 3, "seed": 0}


def clip_of(seconds: float, **options: Any) -> Path:
    """Return a clip, written on the first call into the system's temporary folder.

    ``options`` are those of ``write_clip``; x264's own ``gop`` and ``b_frames`` unless given.
    """
    wanted = {"seconds": seconds, **_AS_X264, **options}
    folder = Path(tempfile.gettempdir()) / "ugc-videocap-clips"
    folder.mkdir(exist_ok=True)
    path = folder / ("-".join(f"{value:g}" for value in wanted.values()) + ".mp4")
    if not path.exists():
        part = path.with_name(f"part-{os.getpid()}-{path.name}")
        write_clip(part, fps=30, filmed=True, faststart=True, **wanted)
        part.replace(path)
    return path


def clips_for_a_run(count: int, mean_seconds: float, *, small: bool = False) -> list[Path]:
    """Return ``count`` clips of several lengths, long and short in turn, each with its own picture.

    They come again where there are not enough: with no store of captions, and none of processed
    media, nothing is spared by that. ``small`` ones are few, short and of 360x640.
    """
    lengths = [mean_seconds + at * 7 % LENGTHS - LENGTHS // 2 for at in range(LENGTHS)]
    size = {}
    if small:
        lengths, size = [1.0, 2.0, 3.0], {"width": 360, "height": 640}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        made = [
            processes.submit(clip_of, seconds, seed=seed, **size)
            for seed, seconds in enumerate(lengths[:count])
        ]
        files = [each.result() for each in made]
    return [files[at % len(files)] for at in range(count)]
