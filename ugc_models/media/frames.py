"""The frames of a clip: chosen by presentation time, decoded as far as needed, kept small."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ugc_models.media.container import Damage, decoded_video, open_media
from ugc_models.media.frame_sampling import FrameSampling, select
from ugc_models.media.joins import Joins
from ugc_models.media.limits import TRACKS_TRIED, Budget, MediaError
from ugc_models.media.scale import Scaler
from ugc_models.media.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """The frames of a clip; shapes and units are those of ``clip.Clip``."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    fps: float
    capped: bool
    duration: float
    lost_seconds: float
    source_size: tuple[int, int]
    decode_errors: int
    start: float
    """Seconds on the file's clock at which the first displayed frame appears."""
    joins: Joins
    """Where the file was joined from several."""
    track: int | None
    """Which of the file's tracks it is; None where there is only one of picture."""


_STRICT = {"err_detect": "explode"}
"""Decoder options that make libav report damage which it would otherwise conceal in silence."""


class _NoFrames(MediaError):
    """Nothing of a track can be decoded."""


@dataclass
class _Decoded:
    """What one pass through the decoder brought."""

    small: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    """The wanted frames by time, in ticks."""
    seen: set[int] = field(default_factory=set)
    """The time of every frame that left the decoder, in ticks."""
    source_size: tuple[int, int] = (0, 0)
    damage: Damage = field(default_factory=Damage)


@dataclass(frozen=True)
class _Job:
    """What is read, and how."""

    path: Path
    sampling: FrameSampling
    budget: Budget
    threads: int


def read_frames(path: Path, sampling: FrameSampling, budget: Budget, threads: int) -> Picture:
    """Take the frames that ``sampling`` asks for; raise ``MediaError`` where there are none.

    Packets say when each frame is shown, so the choice is made before anything is decoded, and
    mostly also which of them it does not depend on: those are not decoded. The frames are those of
    a decoder that is given every packet; where that is not certain, every packet is what it gets.
    In a damaged file, frames that were chosen may never leave the decoder: the choice is then made
    again among those that did, and the file is decoded once more.
    """
    job = _Job(path, sampling, budget, threads)
    timeline = read_timeline(path, budget)
    tracks = timeline.tracks[:TRACKS_TRIED]
    for place, track in enumerate(tracks):
        if place:
            timeline = read_timeline(path, budget, track)
        try:
            return _picture(job, timeline, track if timeline.several else None)
        except _NoFrames:
            continue
    raise MediaError("zero frames: nothing of its picture can be decoded")


def _picture(job: _Job, timeline: Timeline, track: int | None) -> Picture:
    errors = 0
    for _ in range(2):
        if timeline.ticks:
            choice = select(timeline.seconds(), timeline.duration, job.sampling)
            wanted = [timeline.ticks[index] for index in choice.indices]
        else:
            wanted = []
        decoded = _decode_sparsely(job, timeline, wanted) or _decode(job, timeline, wanted)
        errors = max(errors, decoded.damage.count)
        if wanted and all(tick in decoded.small for tick in wanted):
            return Picture(
                frames=np.stack([decoded.small[tick] for tick in wanted]),
                times=timeline.seconds()[list(choice.indices)],
                fps=choice.fps,
                capped=choice.capped,
                duration=timeline.duration,
                lost_seconds=timeline.lost,
                source_size=decoded.source_size,
                decode_errors=errors,
                start=timeline.start,
                joins=timeline.joins,
                track=track,
            )
        if not decoded.seen:
            raise _NoFrames
        timeline = timeline.among(decoded.seen)
        timeline.check(job.budget.limits)
    raise MediaError("damaged: its picture decodes differently each time")


def _decode_sparsely(job: _Job, timeline: Timeline, wanted: Collection[int]) -> _Decoded | None:
    """Decode what the wanted frames need; None where it is not certain that these are right.

    At any sign of damage they are not: a decoder conceals it with the frames that it was given
    before, and here it was not given all of them.
    """
    if timeline.packets is None or not wanted:
        return None
    decoded = _decode(job, timeline, wanted, timeline.packets.steps(wanted))
    whole = not decoded.damage.count and all(tick in decoded.small for tick in wanted)
    return decoded if whole else None


def _decode(
    job: _Job, timeline: Timeline, wanted: Collection[int], steps: bytes | None = None
) -> _Decoded:
    """Decode up to the last wanted frame, keeping the wanted ones; to the end if one is missing.

    With ``steps`` (``sparse.Step``) packets are left out, and the first sign of damage is the end.
    """
    result = _Decoded()
    missing = set(wanted)
    budget = job.budget
    with open_media(job.path, budget) as container:
        stream = next(
            (each for each in container.streams.video if each.index == timeline.tracks[0]), None
        )
        if stream is None or stream.codec_context is None:
            raise MediaError("damaged: its tracks differ each time")
        stream.codec_context.thread_count = job.threads
        stream.codec_context.thread_type = "AUTO"
        # The header's size was checked; this holds the decoder to it if the stream differs.
        options = {"max_pixels": str(budget.limits.source_pixels)}
        stream.codec_context.options = options | _STRICT if steps else options
        scale = Scaler(job.sampling, stream.sample_aspect_ratio)
        frames = decoded_video(
            container, stream, budget, result.damage, timeline.joins, steps=steps
        )
        at = 0
        for frame in frames:
            at = _shown_at(frame, after=at)
            # Half of an interlaced frame can be left out where its other half is wanted.
            if steps and (result.damage.count or frame.interlaced_frame):
                break
            result.seen.add(at)
            if at in missing:
                result.small[at] = scale(frame)
                missing.remove(at)
                if not missing:
                    break
        if scale.source_size is not None:
            result.source_size = scale.source_size
    return result


def _shown_at(frame: VideoFrame, *, after: int) -> int:
    """Return the frame's presentation time in ticks, given that of the one before.

    Where the file stores none, the decoder's order is the order of display, and it hands on the
    decoding times in that order; to the last few frames, which it holds back, it gives none.
    """
    if frame.pts is not None:
        return frame.pts
    if frame.dts is not None:
        return frame.dts
    return after + max(1, frame.duration)
