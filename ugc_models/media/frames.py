"""The frames of a clip: chosen by presentation time, decoded once, kept small."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ugc_models.media.container import Damage, decoded_video, open_media
from ugc_models.media.errors import MediaError
from ugc_models.media.limits import Budget
from ugc_models.media.sampling import Sampling, select
from ugc_models.media.scale import Scaler
from ugc_models.media.timeline import picture_stream, read_timeline

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


@dataclass
class _Decoded:
    """What one pass through the decoder brought."""

    small: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    """The wanted frames by time, in ticks."""
    seen: set[int] = field(default_factory=set)
    """The time of every frame that left the decoder, in ticks."""
    source_size: tuple[int, int] = (0, 0)
    damage: Damage = field(default_factory=Damage)


def read_frames(path: Path, sampling: Sampling, budget: Budget, threads: int) -> Picture:
    """Take the frames that ``sampling`` asks for; raise ``MediaError`` where there are none.

    Packets say when each frame is shown, so the choice is made before anything is decoded. In a
    damaged file, frames that were chosen may never leave the decoder: the choice is then made again
    among those that did, and the file is decoded once more.
    """
    timeline = read_timeline(path, budget)
    errors = 0
    for _ in range(2):
        if timeline.ticks:
            choice = select(timeline.seconds(), timeline.duration, sampling)
            wanted = [timeline.ticks[index] for index in choice.indices]
        else:
            wanted = []
        decoded = _decode(path, wanted, sampling, budget, threads)
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
            )
        if not decoded.seen:
            raise MediaError("zero frames: nothing of its picture can be decoded")
        timeline = timeline.among(decoded.seen)
        timeline.check(budget.limits)
    raise MediaError("damaged: its picture decodes differently each time")


def _decode(
    path: Path,
    wanted: Iterable[int],
    sampling: Sampling,
    budget: Budget,
    threads: int,
) -> _Decoded:
    """Decode up to the last wanted frame, keeping the wanted ones; to the end if one is missing."""
    result = _Decoded()
    missing = set(wanted)
    with open_media(path, budget) as container:
        stream = picture_stream(container, budget.limits)
        stream.codec_context.thread_count = threads
        stream.codec_context.thread_type = "AUTO"
        # The header's size was checked; this holds the decoder to it if the stream differs.
        stream.codec_context.options = {"max_pixels": str(budget.limits.source_pixels)}
        scale = Scaler(sampling, stream.sample_aspect_ratio)
        at = 0
        for frame in decoded_video(container, stream, budget, result.damage):
            at = _shown_at(frame, after=at)
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
