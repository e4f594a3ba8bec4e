"""How much of the machine one file may use, and the errors of files that cannot be read.

(A module of its own, though short: all others of the package need it.)
"""

from __future__ import annotations

import time
from dataclasses import dataclass

_FRAMES = 128  # that the time of ``decode_seconds`` is for
TRACKS_TRIED = 4  # of a kind, until one is found of which something can be decoded


class MediaError(ValueError):
    """No clip can be read from a file.

    The text is one short sentence on what is wrong with the file. It names no path and shows no
    content: the caller knows which clip it asked for.
    """


class OutOfMemoryError(MediaError):
    """There was too little memory for a file: elsewhere, or later, it may well be read."""


@dataclass(frozen=True)
class Limits:
    """Bounds on one file. What is over a bound is refused, except sound, which is cut."""

    source_pixels: int = 4096 * 4096
    """Pixels of one stored frame. A decoder keeps up to about 20 of them in memory."""
    image_pixels: int = 89_478_485
    """Pixels of an image: where Pillow, too, begins to warn."""
    decode_seconds: float = 120.0
    """Seconds of wall-clock time for reading picture and sound together, for up to 128 frames; in
    proportion for more."""
    sound_seconds: float = 300.0
    """Seconds of sound that are kept: transformers' feature extractor hears no more of it."""
    packets: int = 2_000_000
    """Packets read from one track: those of half a day."""

    def seconds(self, frames: int) -> float:
        """Return the seconds of wall-clock time for so many frames."""
        return self.decode_seconds * max(1.0, frames / _FRAMES)


class Deadline:
    """When reading a file must be over, counted from now, and the other limits on it."""

    def __init__(self, limits: Limits, frames: int = 0) -> None:
        self.limits = limits
        self._seconds = limits.seconds(frames)
        self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        """Return the seconds that are left, at least a little: libav takes 0 for "at once"."""
        return max(self._end - time.monotonic(), 0.001)

    def check_time(self) -> None:
        """Raise ``MediaError`` when the time is up."""
        if time.monotonic() > self._end:
            raise MediaError(f"timed out: reading it took more than {self._seconds:g} s")
