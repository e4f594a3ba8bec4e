"""Files that were joined end to end, so that their times start anew in the middle.

``cat one.ts two.ts`` gives a file that every player shows as one recording. Its packets say other
times: those of the second part begin again at its own start, and would hide behind the first's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from ugc_models.media.limits import MediaError

if TYPE_CHECKING:
    from av.packet import Packet

BACK = 0.25
"""Seconds. A time that is this much earlier than the one before it begins anew. Less is disorder:
Matroska stores no decoding times, and libav's guess at them is off by some frames."""


class Mark(NamedTuple):
    """Where a packet lies in the file, and when."""

    track: int
    position: int | None
    """Bytes from the start of the file; None where libav does not know."""
    time: float | None
    """Seconds; when it is decoded, None where that is not stored."""
    start: float
    """Seconds; when it is shown."""
    end: float
    """Seconds; when it gives way to the next."""


@dataclass(frozen=True)
class Joins:
    """Where parts of a file begin, and what is added to their times."""

    positions: tuple[int, ...] = ()
    """Bytes from the start of the file, ascending; the first part begins at none of them."""
    seconds: tuple[float, ...] = ()
    """Added to the times of the part that begins there."""

    def shifter(self, tick: Fraction) -> Shifter:
        """Return what puts the packets of one track, in their order, on the common clock."""
        return Shifter(self.positions, [round(each / float(tick)) for each in self.seconds])


NO_JOINS = Joins()


class Shifter:
    """Adds to the times of a track's packets what their part of the file needs."""

    def __init__(self, positions: tuple[int, ...], ticks: list[int]) -> None:
        self._positions = positions
        self._ticks = ticks
        self._part = 0

    def __call__(self, packet: Packet) -> None:
        """Change the packet's times in place."""
        if not self._positions:
            return
        if packet.pos is not None:  # without one it follows the packet before it
            self._part = bisect_right(self._positions, packet.pos)
        if not self._part:
            return
        more = self._ticks[self._part - 1]
        if packet.pts is not None:
            packet.pts += more
        if packet.dts is not None:
            packet.dts += more


def begins_anew(before: float, now: float) -> bool:
    """Whether a time may be the first of another part, given that of the packet before."""
    return before - now > BACK


def find_joins(marks: Iterable[Mark]) -> Joins:
    """Find the parts of a file from the packets of all its tracks, in the order of the file.

    A part begins where a track's times go back and go on from there, and all tracks share it. It
    is put behind the end of the part before it, by one amount for all of its tracks, so that sound
    and picture stay together. Raises ``MediaError`` where the file's bytes do not tell the parts
    apart.
    """
    known = [*marks]
    positions = _beginnings(known)
    if not positions:
        return NO_JOINS
    starts: list[float | None] = [None] * (len(positions) + 1)
    ends: list[float | None] = [None] * (len(positions) + 1)
    parts: dict[int, int] = {}
    for mark in known:
        if mark.position is not None:
            parts[mark.track] = bisect_right(positions, mark.position)
        part = parts.get(mark.track, 0)
        start, end = starts[part], ends[part]
        starts[part] = mark.start if start is None else min(start, mark.start)
        ends[part] = mark.end if end is None else max(end, mark.end)
    added: list[float] = []
    reached = ends[0] or 0.0
    for start, end in zip(starts[1:], ends[1:], strict=True):
        added.append(0.0 if start is None else reached - start)
        if end is not None:
            reached = end + added[-1]
    return Joins(tuple(positions), tuple(added))


def _beginnings(marks: list[Mark]) -> list[int]:
    """Return where parts begin, in bytes, ascending."""
    tracks: dict[int, list[tuple[float, int | None]]] = {}
    for mark in marks:
        if mark.time is not None:
            tracks.setdefault(mark.track, []).append((mark.time, mark.position))
    found: list[tuple[int, int]] = []
    for track, own in tracks.items():
        reached = -1  # the furthest byte so far
        held: float | None = None  # the last time before a leap ahead
        times = [time for time, _ in own]
        for place, (now, position) in enumerate(own[1:], start=1):
            before = times[place - 1]
            reached = max(reached, own[place - 1][1] or 0)
            if begins_anew(now, before):
                held = before
            # A single wrong time in a damaged file begins nothing: the next is back in order.
            goes_on = all(now - BACK <= later < before for later in times[place + 1 : place + 2])
            returns = held is not None and held <= now
            if not begins_anew(before, now) or returns or not goes_on:
                continue
            if position is None or position <= reached:
                raise MediaError("its times start anew in the middle: it is joined from several")
            held = None
            found.append((position, track))
    positions: list[int] = []
    seen: set[int] = set()  # tracks that have entered the part that began last
    for position, track in sorted(found):
        if not positions or track in seen:
            positions.append(position)
            seen.clear()
        seen.add(track)
    return positions
