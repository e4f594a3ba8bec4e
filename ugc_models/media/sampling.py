"""Which frames of a clip are taken, and how large they become: arithmetic on times and sides."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ugc_models.media.limits import MediaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-3
"""Seconds by which a stored time may be late: Matroska and FLV round times to milliseconds."""
WIDEST = 200
"""The longest side over the shortest. Qwen's image processor refuses what is beyond it."""
_FRAMES_A_STEP = 2
_LEAST_OVER = 1.05  # of the smallest size, that is left to each frame whatever their number


@dataclass(frozen=True)
class Sampling:
    """How many frames are taken from a clip, and how large they become.

    With ``fps`` unset, ``frames`` frames are spread evenly from the first frame to the last. With
    ``fps``, a frame is taken every ``1 / fps`` seconds, an even number of them (Qwen's vision
    encoder takes frames in pairs), at least ``min_frames`` and at most ``max_frames``.

    ``spread`` says along what ``frames`` frames are spread: ``time``, or ``count``, the numbers of
    the clip's frames, which repeats some where the clip has fewer. With ``fps``, ``even`` is the
    rule of ``qwen_omni_utils`` (``v2_5.vision_process.smart_nframes``): the rate says only how many
    frames are taken, evenly by number from the first to the last.

    ``scaling`` is ``smooth``, the mean of all pixels that become one, or ``opencv``, of the nearest
    two by two, as OpenCV does by default: rough where a picture becomes several times smaller.

    A frame has ``min_pixels`` to ``max_pixels`` pixels, sides that are multiples of ``factor``
    (28: two by two patches of 14 pixels make one token of Qwen2.5's), and the clip's aspect ratio.

    ``total_pixels`` bounds all frames together, two of which are one time step of the model, as
    ``qwen_omni_utils.v2_5.vision_process.fetch_video`` does: a frame has at most its share, and no
    less than 1.05 times ``min_pixels``.
    """

    frames: int = 32
    fps: float | None = None
    max_frames: int = 768
    spread: Literal["time", "count", "even"] = "time"
    scaling: Literal["smooth", "opencv"] = "smooth"
    min_pixels: int = 4 * 28 * 28
    max_pixels: float = 128 * 28 * 28
    factor: int = 28
    total_pixels: int | None = None
    min_frames: int = 2

    def made_of(self) -> dict[str, Any]:
        """Return what a stored caption depends on: later fields only where they are set."""
        later = {"total_pixels": None, "min_frames": 2}
        return {n: v for n, v in asdict(self).items() if n not in later or v != later[n]}

    @property
    def most_frames(self) -> int:
        """How many frames are taken at most."""
        return self.frames if self.fps is None else self.max_frames

    def of_frames(self, count: int) -> Sampling:
        """Return the sampling with what ``total_pixels`` leaves to each of ``count`` frames."""
        if self.total_pixels is None:
            return self
        share = max(self.total_pixels / count * _FRAMES_A_STEP, int(self.min_pixels * _LEAST_OVER))
        return replace(self, max_pixels=min(self.max_pixels, share), total_pixels=None)


@dataclass(frozen=True)
class Selection:
    """The frames to take, and the rate of the grid that they were taken on.

    ``indices`` are positions in the list of times, ascending; one frame may be taken twice while it
    is held.
    """

    indices: tuple[int, ...]
    fps: float


def select(times: NDArray[np.float64], duration: float, sampling: Sampling) -> Selection:
    """Choose frames by the times at which they are shown.

    ``times`` are seconds, (T,), ascending, distinct, the first 0; ``duration`` is in seconds. At a
    time of the grid the frame *shown* is taken, the last one that is not later. A clip gives at
    most the frames it has, each once when it has no more of them than are wanted.
    """
    available = len(times)
    span = float(times[-1])
    count = min(sampling.frames, available)
    if sampling.fps is None and sampling.spread == "count":
        # Numbered evenly from the first to the last, rounded down, as OpenCV users do.
        numbers = np.linspace(0, available - 1, sampling.frames, dtype=int)
        return Selection(tuple(numbers.tolist()), _rate(sampling.frames, span, duration))
    if sampling.fps is not None and sampling.spread == "even" and available > 1:
        count = int(min(max(duration * sampling.fps, sampling.min_frames), sampling.max_frames))
        count = max(2, min(count, available) // 2 * 2)
        numbers = np.linspace(0, available - 1, count, dtype=np.float32).round().astype(int)
        return Selection(tuple(numbers.tolist()), count / duration)
    if sampling.fps is not None and available > 1:
        wanted = math.floor((span + ROUNDING) * sampling.fps) + 1
        wanted -= wanted % 2
        least = max(wanted, sampling.min_frames)
        count = max(2, min(least, sampling.max_frames, available) // 2 * 2)
        if count == wanted:
            return Selection(_shown(times, np.arange(count) / sampling.fps), sampling.fps)
    all_or_first = count in {1, available}
    taken = range(count) if all_or_first else _shown(times, np.linspace(0.0, span, count))
    return Selection(tuple(taken), _rate(count, span, duration))


def _rate(count: int, span: float, duration: float) -> float:
    """Return frames per second of frames spread evenly over ``span`` seconds."""
    if count > 1 and span > 0:
        return (count - 1) / span
    return 1.0 / duration if duration > 0 else 1.0


def _shown(times: NDArray[np.float64], grid: NDArray[np.float64]) -> tuple[int, ...]:
    found = np.searchsorted(times, grid + ROUNDING, side="right") - 1
    return tuple(found.tolist())


def target_size(width: int, height: int, sampling: Sampling) -> tuple[int, int]:
    """Return the (width, height) that a picture of this displayed size is scaled to.

    The rule is the ``smart_resize`` of Qwen2-VL (``qwen_vl_utils.vision_process`` and transformers'
    ``models/qwen2_vl/video_processing_qwen2_vl.py``), to the letter, so that the model's own
    processor changes nothing under the same bounds (but for a picture so narrow that ``factor``
    alone puts it over them).
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
