"""When the frames of a file are shown, and what each depends on, without decoding them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.stream import Disposition

from ugc_models.media.bitstream.descriptions import one_description
from ugc_models.media.bitstream.kind import Kind
from ugc_models.media.bitstream.reader import KindReader
from ugc_models.media.container import Damage, open_media, packets
from ugc_models.media.errors import MediaError
from ugc_models.media.limits import Budget, Limits
from ugc_models.media.plan import Course

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Timeline:
    """The times of a stream's frames."""

    ticks: tuple[int, ...]
    """Presentation times in units of ``tick``, ascending and distinct; empty where unknown."""
    tick: Fraction
    """Seconds."""
    last_shown: float = 0.0
    """Seconds for which the last frame is shown; 0 where the file does not say."""
    announced: float = 0.0
    """Seconds of picture that the file's header announces; 0 where it announces none."""
    course: Course | None = field(default=None, repr=False)
    """What there is to choose from for a decoder; None where that is not certain."""

    @property
    def duration(self) -> float:
        """Seconds from the appearance of the first frame to the disappearance of the last."""
        span = float((self.ticks[-1] - self.ticks[0]) * self.tick)
        spaces = len(self.ticks) - 1
        return span + (self.last_shown or (span / spaces if spaces else 0.0))

    @property
    def lost(self) -> float:
        """Seconds that are announced and not there; 0 below a tenth: headers are rounded."""
        missing = self.announced - self.duration
        return missing if missing >= 0.1 else 0.0

    def seconds(self) -> NDArray[np.float64]:
        """Return the times in seconds after the first frame, (T,)."""
        ticks = np.array(self.ticks, dtype=np.int64) - self.ticks[0]
        return ticks * self.tick.numerator / self.tick.denominator

    def among(self, ticks: Iterable[int]) -> Timeline:
        """Return the timeline of a file of which only these frames can be had."""
        return replace(self, ticks=tuple(sorted(set(ticks))), course=None)

    def check(self, limits: Limits) -> None:
        """Raise ``MediaError`` if the picture is longer than the limit."""
        if self.ticks and self.duration > limits.duration:
            raise MediaError(
                f"too long: {self.duration:.0f} s of picture, over the limit of "
                f"{limits.duration:g} s"
            )


def read_timeline(path: Path, budget: Budget) -> Timeline:
    """Read the presentation times of the file's picture from its packets.

    Packets that an edit list leaves out are left out, as a decoder would. Where a packet has no
    time (AVI stores none), ``ticks`` is empty: only decoding will tell.
    """
    with open_media(path, budget) as container:
        stream = picture_stream(container, budget.limits)
        tick = stream.time_base
        if tick is None or tick <= 0:
            raise MediaError("damaged: its picture has no unit of time")
        shown: dict[int, int] = {}
        known = True
        damage = Damage()
        read_kind = _kind_reader(path, container, stream)
        course: Course | None = Course()
        for packet in packets(container, stream, budget, damage):
            if packet.pts is None:
                known = False
            elif not packet.is_discard:
                shown[packet.pts] = max(packet.duration or 0, 0)
            course = _further(course, packet, read_kind)
        announced = float((stream.duration or 0) * tick)
    timeline = Timeline(
        ticks=tuple(sorted(shown)) if known else (),
        tick=tick,
        last_shown=float(shown[max(shown)] * tick) if shown else 0.0,
        announced=announced,
        course=course if known and not damage.count else None,
    )
    timeline.check(budget.limits)
    return timeline


def _kind_reader(path: Path, container: InputContainer, stream: VideoStream) -> KindReader:
    # A second description of the samples replaces parameter sets in the middle of the file, with
    # no trace in the packets that PyAV would show.
    if container.format.name.startswith("mov") and not one_description(path):
        return KindReader("", b"")
    return KindReader(stream.codec_context.name, stream.codec_context.extradata or b"")


def _further(course: Course | None, packet: Packet, read_kind: KindReader) -> Course | None:
    """Put a packet on the course; None once one is not understood."""
    if course is None or packet.pts is None or packet.is_corrupt:
        return None
    kind = read_kind(bytes(packet))
    if kind is None:
        return None
    course.add(packet.pts, kind | Kind.HIDDEN if packet.is_discard else kind)
    return course


def picture_stream(container: InputContainer, limits: Limits) -> VideoStream:
    """Return the track to look at: libav's best one that is not just a cover picture."""
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not moving:
        raise MediaError("no picture: the file has no video track")
    best = container.streams.best("video")
    stream = next((each for each in moving if each is best), moving[0])
    context = stream.codec_context
    # PyAV's stubs leave out that a stream of an unknown codec has no context.
    if context is None:
        raise MediaError("no picture: its video codec is not known here")
    if context.width * context.height > limits.source_pixels:
        raise MediaError(
            f"too large: frames of {context.width}x{context.height} are over the limit of "
            f"{limits.source_pixels} pixels"
        )
    return stream
