"""What a scene is: a picture for every moment, a sound for the whole, and how they are stored."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.drawing.canvas import Canvas
    from tests.drawing.synth import Track

#: Fixed for ever: ids derive from it, and references are kept under the ids.
_NAMESPACE = uuid.UUID("ad85ba9b-aeba-421c-9313-1cb162e020e8")


@dataclass(frozen=True)
class Scene:
    """One clip to render.

    draw: paints the picture at a time in seconds; depends on that time alone.
    sound: makes the sound track; None for a clip without one.
    size: width and height in pixels as shown, both even, 9:16 like the canvas.
    frame_rate: frames per second, or the highest rate where `frame_times` varies it.
    frame_times: the moments of a clip whose frame rate varies; None for evenly spaced frames.
    stereo: whether the sound keeps two channels.
    quarter_turns: how often the stored picture is turned clockwise by 90 degrees to be shown.
    """

    name: str
    seconds: float
    draw: Callable[[Canvas, float], None]
    sound: Callable[[], Track] | None
    size: tuple[int, int] = (360, 640)
    frame_rate: int = 25
    frame_times: tuple[float, ...] | None = None
    stereo: bool = False
    quarter_turns: int = 0

    @property
    def video_id(self) -> str:
        """Stable for the scene's name, in the form of the benchmark's ids."""
        return f"PI-{uuid.uuid5(_NAMESPACE, self.name)}"

    def times(self) -> tuple[float, ...]:
        """The moment of each frame in seconds, rising from 0."""
        if self.frame_times is not None:
            return self.frame_times
        return tuple(i / self.frame_rate for i in range(round(self.seconds * self.frame_rate)))


def progress(time: float, start: float, end: float) -> float:
    """How far `time` is from start (0) to end (1), eased at both ends and clamped."""
    share = min(max((time - start) / (end - start), 0.0), 1.0)
    return share * share * (3.0 - 2.0 * share)
