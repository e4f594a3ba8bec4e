"""Reading a clip as the benchmark's authors do, for a loop from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import psutil

from benchmarks.asking import Asking
from benchmarks.loops import ToRequest, Unanswered
from benchmarks.ways import keep_all
from ugc_models.engine.base import EngineRequest


def reader(asking: Asking) -> ToRequest:
    """Return what decodes every frame of a clip, picks 32 and asks about them, without sound.

    Its frames are others than ours and it is deaf, so its captions are others too.
    """
    decode = keep_all()

    def read(index: int, path: Path) -> EngineRequest:
        _check_memory(path)
        frames = _to_whole_tokens(cast("np.ndarray[Any, np.dtype[np.uint8]]", decode(str(path))))
        fps = len(frames) / _seconds(path)
        options = asking.inputs.options(fps, frames.shape)
        return EngineRequest(index, asking.prompt, frames, fps, None, asking.sampling, options)

    return read


def _to_whole_tokens(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Cut the sides to multiples of a token's, which their processor would scale them to."""
    side = 28
    return np.ascontiguousarray(
        frames[:, : frames.shape[1] // side * side, : frames.shape[2] // side * side]
    )


def _check_memory(path: Path) -> None:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        needed = video.frames * video.width * video.height * 3
    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise Unanswered(
            f"{path.name}: to keep every frame takes {needed / 2**30:.0f} GiB of memory, "
            f"{free / 2**30:.0f} GiB are free"
        )


def _seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        duration = container.duration
    assert duration is not None, f"{path} has no duration"
    return duration / av.time_base
