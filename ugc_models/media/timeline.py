"""When the frames of a file are shown, without decoding them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.stream import Disposition

from ugc_models.media.container import decodable, open_media
from ugc_models.media.limits import Deadline, Limits, MediaError
from ugc_models.media.sampling import ROUNDING
from ugc_models.media.sparse import PacketIndex, PacketReader

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_IN_ORDER = frozenset({"mpegts", "mpeg", "flv", "asf", "ogg"})
"""Demuxers of files that are packets from the first byte to the last."""
_READ = 0.75
"""The part of such a file that must be read. Where another file was appended, libav may stop at its
header, or take its tracks for new ones."""
_REORDERED = 16
"""How many frames a decoder of H.264 or HEVC may hold back to bring them in order."""
LEAST_LOST = 0.1
"""Seconds. Below this it is rounding in the header."""
_BACK = 0.25
"""Seconds. A time that is this much earlier than the one before starts anew. Less is disorder:
Matroska stores no decoding times, and libav's guess at them is off by some frames."""
NO_FRAMES = "zero frames: nothing of its picture can be decoded"
_OF_ALL_TRACKS = frozenset({"asf"})
"""Demuxers that give every track the length of the longest. ASF's gives none where the file is cut
off."""


@dataclass(frozen=True)
class Stretch:
    """Frames of a stretch of time, or of all of it."""

    ticks: tuple[int, ...]
    seconds: NDArray[np.float64]  # (T,), from the start of the stretch to each, ascending
    duration: float  # seconds


@dataclass(frozen=True)
class Timeline:
    """The times of a stream's frames."""

    ticks: tuple[int, ...]  # when each is shown, ascending and distinct; empty where unknown
    tick: Fraction  # seconds
    last_shown: float  # seconds for which the last frame is shown; 0 where the file does not say
    announced: float  # seconds of picture by the file's header; 0 where it announces none
    from_zero: bool  # ``announced`` counts from the file's start and not from the first frame
    packets: PacketIndex | None  # what each packet is needed for; None where that is not certain
    decoded: tuple[int, ...]  # in ticks, of the first packets; empty where ``ticks`` are known
    track: int  # index of the picture track
    several: bool  # the file has more than one picture track, decodable or not

    @property
    def start(self) -> float:
        """Seconds on the file's clock at which the first frame appears.

        Without presentation times, ``ticks`` are the times at which a decoder gave out frames. It
        held some back to bring them in order, and a player's clock starts that much earlier.
        """
        if not self.ticks:
            return 0.0
        held = sum(tick < self.ticks[0] for tick in self.decoded)
        first = float(self.ticks[0] * self.tick)
        return max(first - held * self._space, 0.0) if held else first

    @property
    def duration(self) -> float:
        """Seconds from the appearance of the first frame to the disappearance of the last."""
        return self._span + (self.last_shown or self._space)

    @property
    def _span(self) -> float:
        return float((self.ticks[-1] - self.ticks[0]) * self.tick)

    @property
    def _space(self) -> float:
        """Seconds from one frame to the next, on average."""
        return self._span / max(len(self.ticks) - 1, 1)

    @property
    def lost(self) -> float:
        """Seconds that are announced and not there; 0 below ``LEAST_LOST``."""
        missing = self.announced - self.duration - (self.start if self.from_zero else 0.0)
        return missing if missing >= LEAST_LOST else 0.0

    def seconds(self) -> NDArray[np.float64]:
        """Return the times in seconds after the first frame, (T,)."""
        ticks = np.array(self.ticks, dtype=np.int64) - self.ticks[0]
        return ticks * self.tick.numerator / self.tick.denominator

    def among(self, ticks: Iterable[int]) -> Timeline:
        """Return the timeline of a file of which only these frames can be had."""
        return replace(self, ticks=tuple(sorted(set(ticks))), packets=None)

    def stretch(self, start: float, end: float | None) -> Stretch:
        """Return the frames that are shown from ``start`` to ``end`` (seconds, None for the end).

        Raises ``MediaError`` where that is no stretch of time, or begins after the picture's end.
        """
        times, length = self.seconds(), self.duration
        last = length if end is None else end
        if math.isfinite(start) and start >= length and (end is None or end > start):
            raise MediaError(f"it ends at {length:.1f} s, before {start:g} s, where to begin")
        if not (0 <= start < last):
            raise MediaError(f"a stretch from {start:g} to {last:g} s is none")
        # The frame that is shown at the start appeared before it.
        first = max(int(np.searchsorted(times, start + ROUNDING, side="right")) - 1, 0)
        after = max(int(np.searchsorted(times, last - ROUNDING)), first + 1)
        seconds = np.maximum(times[first:after] - start, 0.0)
        return Stretch(self.ticks[first:after], seconds, min(last, length) - start)


def read_timeline(path: Path, deadline: Deadline, place: int = 0) -> Timeline:
    """Read the presentation times of the file's ``place``-th best picture track from its packets.

    Packets that an edit list leaves out are not counted. Where a packet has no time (AVI stores
    none), ``ticks`` is empty: only decoding will tell. Raises ``MediaError`` for a file that was
    joined end to end from several (``cat one.ts two.ts``): the times of the second part would hide
    behind the first's.
    """
    with open_media(path, deadline) as media:
        container = media.container
        stream = picture_track(container, deadline.limits, place)
        track = stream.index  # once the container is closed, PyAV reads freed memory for it
        several = len(_moving(container)) > 1
        tick = stream.time_base
        if tick is None or tick <= 0:
            raise MediaError("damaged: its picture has no unit of time")
        shown: dict[int, int] = {}
        known = True
        decoded: list[int] = []
        reader = PacketReader(stream)
        reached = 0
        for packet in media.packets(stream):
            if packet.pts is None:
                known = False
            elif not packet.is_discard:
                shown[packet.pts] = max(packet.duration or 0, 0)
            reader.add(packet)
            reached = max(reached, (packet.pos or 0) + packet.size)
            if packet.dts is not None:
                decoded.append(packet.dts)
        of_all = container.format.name in _OF_ALL_TRACKS
        announced = 0 if of_all else max(stream.duration or 0, 0)
        from_zero = container.format.name == "avi"
        needed = _READ * container.size if container.format.name in _IN_ORDER else 0
    if _starts_anew(decoded, float(_BACK / tick)):
        raise MediaError("its times start anew in the middle: it is joined from several files")
    if reached < needed and _end(path, deadline) < needed:
        raise MediaError("joined from several files, of which only the first can be read")
    return Timeline(
        ticks=tuple(sorted(shown)) if known else (),
        tick=tick,
        last_shown=float(shown[max(shown)] * tick) if shown else 0.0,
        announced=float(announced * tick),
        from_zero=from_zero,
        packets=reader.index,
        decoded=() if known else tuple(decoded[:_REORDERED]),
        track=track,
        several=several,
    )


def _starts_anew(times: Sequence[int], back: float) -> bool:
    """Whether times go back by more than ``back`` somewhere, and go on from there.

    In a damaged file a single wrong time does not, nor do times that leap ahead and come back.
    """
    held: int | None = None  # the last time before a leap ahead
    for before, now, later in zip(times, times[1:], times[2:], strict=False):
        if now - before > back:
            held = before
        returns = held is not None and held <= now
        if before - now > back and now - back <= later < before and not returns:
            return True
    return False


def _end(path: Path, deadline: Deadline) -> int:
    """Return where the last packet of all tracks ends, in bytes of the file."""
    with open_media(path, deadline) as media:
        return max(((packet.pos or 0) + packet.size for packet in media.packets()), default=0)


def picture_track(container: InputContainer, limits: Limits, place: int = 0) -> VideoStream:
    """Return the ``place``-th best track of picture that has a decoder, without cover pictures.

    Raises ``MediaError`` where there is none, or where it is over the limit.
    """
    moving = _moving(container)
    if not moving:
        raise MediaError("no picture: the file has no video track")
    for each in moving:
        if each.codec_context is not None:
            each.codec_context.thread_count = 1  # only tried here
    able = decodable(moving, container.streams.best("video"))
    stream = next(islice(able, place, None), None)
    if stream is None:
        raise MediaError(NO_FRAMES if place else "no picture: its video codec is not known here")
    context = stream.codec_context
    if context.width * context.height > limits.source_pixels:
        raise MediaError(
            f"too large: frames of {context.width}x{context.height} are over the limit of "
            f"{limits.source_pixels} pixels"
        )
    return stream


def _moving(container: InputContainer) -> list[VideoStream]:
    streams = container.streams.video
    return [each for each in streams if not each.disposition & Disposition.attached_pic]
