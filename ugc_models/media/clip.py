"""A clip as a captioner takes it: a few small frames and its sound.

The frames are chosen by the times at which they are shown, decoded as far as needed, kept small.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ugc_models.media.container import open_media
from ugc_models.media.limits import TRACKS_TRIED, Deadline, Limits, MediaError
from ugc_models.media.sampling import Sampling, select
from ugc_models.media.scale import Scaler
from ugc_models.media.sound import read_sound
from ugc_models.media.sparse import PacketIndex
from ugc_models.media.timeline import NO_FRAMES, Timeline, read_timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

READING = 2
"""Version of the way in which clips are read, a part of the key of a stored caption. It is raised
when some clips come out with other frames or other sound, so that their captions are made anew."""
_STRICT = {"err_detect": "explode"}
"""Decoder options that make libav report damage which it would otherwise conceal in silence."""


@dataclass(frozen=True, eq=False)
class Clip:
    """What was read from a video file.

    Where the sound was aligned, ``sound_offset`` is what was put before it or (below 0) cut from
    it, and ``sound_gaps`` is silence.
    """

    frames: NDArray[np.uint8]  # (T, H, W, 3), RGB, upright as displayed, C-contiguous
    times: NDArray[np.float64]  # (T,), seconds from the first displayed frame, ascending
    fps: float  # frames per second of the grid that they were taken on
    # (N,), 16 kHz, mono; from the first displayed frame, or from the track's start if not aligned.
    sound: NDArray[np.float32] | None
    sound_missing: str | None  # why there is no sound; None where there is
    duration: float  # seconds of picture, the time of the last frame included
    decode_errors: int  # damaged packets and frames of the picture, as far as it was decoded
    lost_seconds: float  # of picture that the file announces and does not hold: it is cut off
    sound_offset: float | None = None  # seconds from the first frame to the start of the track
    sound_gaps: float = 0.0  # seconds for which the track pauses
    picture_track: int | None = None  # index; None where the file has one of picture only
    sound_track: int | None = None  # likewise
    sound_cut: float = 0.0  # seconds of sound left out at the end, being over ``Limits``


def read_clip(
    path: str | PathLike[str],
    sampling: Sampling | None = None,
    *,
    start: float = 0.0,
    end: float | None = None,
    sound: bool = True,
    align_sound: bool = True,
    limits: Limits | None = None,
    threads: int = 1,
) -> Clip:
    """Read a video file: the frames that ``sampling`` asks for, and the sound unless told not to.

    With ``start`` or ``end``, in seconds of the picture, it is as if the file had that stretch
    alone: its first frame is the one shown at ``start``, and all times count from there. Little
    else is decoded. The sound of a stretch is always aligned.

    ``align_sound`` puts the sound on the clock of the frames, see ``sound.read_sound``.
    ``threads`` is how many threads the video decoder may use. Memory is that of the decoder and of
    what is returned. Raises ``MediaError`` when no picture can be had from the file within
    ``limits``, and ``OutOfMemoryError`` for want of memory. Why there is no sound is in
    ``sound_missing``.
    """
    sampling = sampling or Sampling()
    deadline = Deadline(limits or Limits(), sampling.most_frames)
    job = _Job(Path(path), sampling, deadline, threads, start, end)
    clip, begin = _read_picture(job)
    if not sound:
        return clip
    # A single frame may stand for as long as there is sound.
    length = clip.duration if len(clip.frames) > 1 or end is not None else math.inf
    part = None if job.whole else (start, start + length)
    heard = read_sound(job.path, deadline, begin, length, align=align_sound, part=part)
    facts = {f"sound_{name}": value for name, value in vars(heard).items() if name != "samples"}
    return replace(clip, sound=heard.samples, **facts)


@dataclass(frozen=True)
class _Job:
    path: Path
    sampling: Sampling
    deadline: Deadline
    threads: int
    start: float
    end: float | None

    @property
    def whole(self) -> bool:
        return self.start == 0.0 and self.end is None


@dataclass
class _Decoded:
    """What one pass through the decoder brought; times are in ticks."""

    small: dict[int, NDArray[np.uint8]] = field(default_factory=dict)  # wanted frames by time
    seen: set[int] = field(default_factory=set)  # the time of every frame that left the decoder
    damage: int = 0  # how many packets and frames were found damaged


def _read_picture(job: _Job, place: int = 0) -> tuple[Clip, float]:
    """Read a clip without its sound, and when it starts on the file's clock.

    Of several tracks it is the ``place``-th best, or the next of which something can be decoded.

    Packets say when each frame is shown, so frames are chosen before anything is decoded. Pictures
    that the chosen frames do not need are not decoded (``sparse.py``); at any doubt all are. In a
    damaged file, chosen frames may never leave the decoder: then others are chosen among those
    that did, and the file is decoded once more.
    """
    timeline = read_timeline(job.path, job.deadline, place)
    errors = 0
    for _ in range(2):
        wanted: list[int] = []
        if timeline.ticks:
            stretch = timeline.stretch(job.start, job.end)
            choice = select(stretch.seconds, stretch.duration, job.sampling)
            wanted = [stretch.ticks[index] for index in choice.indices]
        sized = replace(job, sampling=job.sampling.of_frames(max(len(wanted), 1)))
        decoded = _decode_sparsely(sized, timeline, wanted) or _decode(sized, timeline, wanted)
        errors = max(errors, decoded.damage)
        if wanted and all(tick in decoded.small for tick in wanted):
            clip = Clip(
                frames=np.stack([decoded.small[tick] for tick in wanted]),
                times=stretch.seconds[list(choice.indices)],
                fps=choice.fps,
                sound=None,
                sound_missing="not asked for",
                duration=stretch.duration,
                decode_errors=errors,
                lost_seconds=timeline.lost if job.end is None else 0.0,
                picture_track=timeline.track if timeline.several else None,
            )
            return clip, timeline.start
        if not decoded.seen:
            if timeline.several and place + 1 < TRACKS_TRIED:
                return _read_picture(job, place + 1)
            raise MediaError(NO_FRAMES)
        timeline = timeline.among(decoded.seen)
    raise MediaError("damaged: its picture decodes differently each time")


def _decode_sparsely(job: _Job, timeline: Timeline, wanted: Collection[int]) -> _Decoded | None:
    """Decode what the wanted frames need; None where it is not certain that these are right.

    At any sign of damage they are not: a decoder conceals it with the frames that it was given
    before, and here it was not given all of them.
    """
    if timeline.packets is None or not wanted:
        return None
    decoded = _decode(job, timeline, wanted, timeline.packets)
    return decoded if all(tick in decoded.small for tick in wanted) else None


def _decode(
    job: _Job, timeline: Timeline, wanted: Collection[int], packets: PacketIndex | None = None
) -> _Decoded:
    """Decode up to the last wanted frame, keeping the wanted ones; to the end if one is missing.

    With ``packets`` some are left out, and the first sign of damage is the end.
    """
    steps = None if packets is None else packets.steps(wanted)
    result = _Decoded()
    missing = set(wanted)
    deadline = job.deadline
    with open_media(job.path, deadline) as media:
        streams = media.container.streams.video
        stream = next((each for each in streams if each.index == timeline.track), None)
        if stream is None or stream.codec_context is None:
            raise MediaError("damaged: its tracks differ each time")
        stream.codec_context.thread_count = job.threads
        stream.codec_context.thread_type = "AUTO"
        # The header's size was checked; this holds the decoder to it if the stream differs.
        options = {"max_pixels": str(deadline.limits.source_pixels)}
        stream.codec_context.options = options | _STRICT if steps else options
        scale = Scaler(job.sampling, stream.sample_aspect_ratio)
        at = 0
        for frame in media.decode(stream, steps, told=packets is None or packets.told):
            at = _shown_at(frame, after=at)
            # Half of an interlaced frame can be left out where its other half is wanted.
            if steps and (media.damage.count or frame.interlaced_frame):
                break
            result.seen.add(at)
            if at in missing:
                result.small[at] = scale(frame)
                missing.remove(at)
                if not missing:
                    break
        result.damage = media.damage.count
    return result


def _shown_at(frame: VideoFrame, *, after: int) -> int:
    """Return the frame's presentation time in ticks, given that of the one before.

    Where the file stores no presentation times, the decoder gives out frames in the order of
    display, with the decoding times in that order. The last few, which it held back, have none.
    """
    for time in (frame.pts, frame.dts):
        if time is not None:
            return time
    return after + max(1, frame.duration)
