"""Which frames of a clip are taken, and how large they become: arithmetic on times and sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ugc_models.media.limits import MediaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-3
"""Seconds by which a stored time may be late: Matroska and FLV round times to milliseconds."""
WIDEST = 200
"""The longest side over the shortest. Qwen's image processor refuses what is beyond it."""


@dataclass(frozen=True)
class Sampling:
    """How many frames are taken from a clip, and how large they become.

    With ``fps`` unset, ``frames`` frames are spread evenly from the first frame to the last. With
    ``fps``, a frame is taken every ``1 / fps`` seconds, an even number of them (Qwen's vision
    encoder takes frames in pairs), at least 2 and at most ``max_frames``.

    ``spread`` says along what ``frames`` frames are spread: ``time``, or ``count``, the numbers of
    the clip's frames, which repeats some where the clip has fewer.

    ``scaling`` is ``smooth``, the mean of all pixels that become one, or ``opencv``, of the nearest
    two by two, as OpenCV does by default: rough where a picture becomes several times smaller.

    A frame has ``min_pixels`` to ``max_pixels`` pixels, sides that are multiples of ``factor``
    (28: two by two patches of 14 pixels make one token of Qwen2.5's), and the clip's aspect ratio.
    """

    frames: int = 32
    fps: float | None = None
    max_frames: int = 768
    spread: Literal["time", "count"] = "time"
    scaling: Literal["smooth", "opencv"] = "smooth"
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 128 * 28 * 28
    factor: int = 28

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, not {self.frames}")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be a number above 0, not {self.fps}")
        if self.max_frames < 2:
            raise ValueError(f"max_frames must be at least 2, not {self.max_frames}")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, not {self.factor}")
        if self.factor**2 > self.max_pixels:
            raise ValueError(f"max_pixels must be at least {self.factor**2}, not {self.max_pixels}")
        if not 0 <= self.min_pixels <= self.max_pixels:
            raise ValueError(f"min_pixels must lie in 0..{self.max_pixels}, not {self.min_pixels}")


@dataclass(frozen=True)
class Selection:
    """The frames to take."""

    indices: tuple[int, ...]
    """Positions in the list of times, ascending; one frame may be taken twice while it is held."""
    fps: float
    """Frames per second of the grid they were taken on."""
    capped: bool = False
    """True when ``max_frames`` made the grid coarser than ``fps`` asked for."""


def select(times: NDArray[np.float64], duration: float, sampling: Sampling) -> Selection:
    """Choose frames by the times at which they are shown.

    ``times`` are seconds, (T,), ascending, distinct, the first 0; ``duration`` is in seconds. At a
    time of the grid the frame *shown* is taken, the last one that is not later. A clip gives at
    most the frames it has, each once when it has no more of them than are wanted. Frames that end
    up on an even grid have the rate ``(count - 1) / (last - first)``; a single frame has
    ``1 / duration``, and 1.0 if it has no duration.
    """
    available = len(times)
    if sampling.fps is None and sampling.spread == "count":
        return _by_count(times, sampling.frames, duration)
    if sampling.fps is None or available == 1:
        return _evenly(times, min(sampling.frames, available), duration)
    span = float(times[-1])
    wanted = math.floor((span + ROUNDING) * sampling.fps) + 1
    wanted -= wanted % 2
    count = max(2, min(wanted, sampling.max_frames, available) // 2 * 2)
    if count != wanted:
        return _evenly(times, count, duration, capped=count < min(wanted, available // 2 * 2))
    return Selection(_shown(times, np.arange(count) / sampling.fps), sampling.fps)


def _by_count(times: NDArray[np.float64], count: int, duration: float) -> Selection:
    """Number frames evenly from the first to the last, rounded down, as OpenCV users do."""
    numbers = np.linspace(0, len(times) - 1, count, dtype=int)
    span = float(times[-1])
    rate = (count - 1) / span if count > 1 and span > 0 else _rate_of_one(duration)
    return Selection(tuple(int(number) for number in numbers), rate)


def _rate_of_one(duration: float) -> float:
    return 1.0 / duration if duration > 0 else 1.0


def _evenly(
    times: NDArray[np.float64], count: int, duration: float, *, capped: bool = False
) -> Selection:
    if count == 1:
        return Selection((0,), _rate_of_one(duration))
    span = float(times[-1])
    rate = (count - 1) / span
    if count == len(times):
        return Selection(tuple(range(count)), rate, capped)
    return Selection(_shown(times, np.linspace(0.0, span, count)), rate, capped)


def _shown(times: NDArray[np.float64], grid: NDArray[np.float64]) -> tuple[int, ...]:
    found = np.searchsorted(times, grid + ROUNDING, side="right") - 1
    return tuple(int(index) for index in found)


def target_size(width: int, height: int, sampling: Sampling) -> tuple[int, int]:
    """Return the (width, height) that a picture of this displayed size is scaled to.

    The rule is the ``smart_resize`` of Qwen2-VL (``qwen_vl_utils.vision_process`` and transformers'
    ``models/qwen2_vl/video_processing_qwen2_vl.py``): each side to the nearest multiple of
    ``factor``; where that has too many pixels, both sides shrunk by one ratio and rounded down;
    where it has too few, grown and rounded up. Following it to the letter makes a second
    application, by the model's own processor under the same deadline, change nothing (save for a
    picture so narrow that ``factor`` alone puts it over the deadline).
    """
    if max(width, height) > WIDEST * min(width, height):
        raise MediaError(f"its picture of {width}x{height} is too narrow to be used")
    factor = sampling.factor
    sides = (width, height)
    new_width, new_height = (max(factor, round(side / factor) * factor) for side in sides)
    if new_width * new_height > sampling.max_pixels:
        ratio = math.sqrt(width * height / sampling.max_pixels)
        new_width, new_height = (
            max(factor, math.floor(side / ratio / factor) * factor) for side in sides
        )
    elif new_width * new_height < sampling.min_pixels:
        ratio = math.sqrt(sampling.min_pixels / (width * height))
        new_width, new_height = (math.ceil(side * ratio / factor) * factor for side in sides)
    return new_width, new_height
