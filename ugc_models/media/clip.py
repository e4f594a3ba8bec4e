"""A clip as a captioner takes it: a few small frames and its sound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ugc_models.media.frame_sampling import FrameSampling
from ugc_models.media.frames import read_frames
from ugc_models.media.limits import Budget, Limits
from ugc_models.media.sound import Clock, Sound, read_sound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READING = 2
"""Which way of reading clips this is. It is raised where the frames or the sound of some clips come
out otherwise, so that captions of the ones before are made anew. 2: sound on the clock of the
frames, colours of clips stored as RGB, files joined from several, tracks that can be decoded."""


@dataclass(frozen=True, eq=False)
class Clip:
    """What was read from a video file."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3), RGB, upright as displayed, C-contiguous."""
    times: NDArray[np.float64]
    """(T,), seconds from the first displayed frame to the one taken, ascending."""
    fps: float
    """Frames per second of the grid that they were taken on."""
    sound: NDArray[np.float32] | None
    """(N,), 16 kHz, mono; from the first displayed frame, or the start of the audio track where it
    was not aligned."""
    sound_missing: str | None
    """Why there is no sound; None where there is."""
    duration: float
    """Seconds of picture, the time of the last frame included."""
    source_size: tuple[int, int]
    """Width and height as displayed, in square pixels, before scaling."""
    capped: bool
    """True when ``FrameSampling.max_frames`` made ``fps`` lower than was asked for."""
    decode_errors: int
    """Packets and frames of the picture that the decoder found damaged, as far as it was read."""
    lost_seconds: float
    """Seconds of picture that the file announces and does not hold: above 0 when it is cut off."""
    sound_offset: float | None = None
    """Seconds from the first displayed frame to the start of the audio track, below 0 where the
    track starts first: what was put before the sound, or cut from it, where it was aligned. None
    without sound."""
    sound_gaps: float = 0.0
    """Seconds for which the audio track pauses: silence, where it was aligned."""
    picture_track: int | None = None
    """Which track of the file the frames are from; None where there is no other of its kind."""
    sound_track: int | None = None
    """Which track of the file the sound is from; None where there is no other of its kind."""

    def __repr__(self) -> str:
        sound = self.sound_missing if self.sound is None else f"{len(self.sound) / 16_000:.2f} s"
        return f"Clip(frames={self.frames.shape}, fps={self.fps:g}, sound={sound!r})"


def read_clip(
    path: str | PathLike[str],
    sampling: FrameSampling | None = None,
    *,
    sound: bool = True,
    align_sound: bool = True,
    limits: Limits | None = None,
    threads: int = 1,
) -> Clip:
    """Read a video file: the frames that ``sampling`` asks for, and the sound unless told not to.

    ``align_sound`` puts the sound on the clock of the frames, see ``sound.read_sound``.
    ``threads`` is how many threads the video decoder may use. Memory is that of the decoder and of
    what is returned. Raises ``MediaError`` when no picture can be had from the file within
    ``limits``, and ``OutOfMemoryError`` for want of memory. Why there is no sound is in
    ``sound_missing``.
    """
    budget = Budget(limits or Limits())
    located = Path(path)
    picture = read_frames(located, sampling or FrameSampling(), budget, threads)
    heard = Sound(None, "not asked for")
    if sound:
        # A single frame may stand for as long as there is sound.
        length = picture.duration if len(picture.frames) > 1 else math.inf
        clock = Clock(picture.start, length, picture.joins)
        heard = read_sound(located, budget, clock, align=align_sound)
    return Clip(
        frames=picture.frames,
        times=picture.times,
        fps=picture.fps,
        sound=heard.samples,
        sound_missing=heard.missing,
        duration=picture.duration,
        source_size=picture.source_size,
        capped=picture.capped,
        decode_errors=picture.decode_errors,
        lost_seconds=picture.lost_seconds,
        sound_offset=heard.offset,
        sound_gaps=heard.gaps,
        picture_track=picture.track,
        sound_track=heard.track,
    )
