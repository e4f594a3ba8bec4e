"""Files that were joined end to end, so that their times start anew in the middle.

``cat one.ts two.ts`` gives a file that every player shows as one recording. Its packets say other
times: those of the second part begin again at its own start, and would hide behind the first's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
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

    def shift(self, packet: Packet, part: int) -> int:
        """Put a packet's times on the common clock, in place; return the part that it is in.

        ``part`` is that of the track's packet before, which one without a position follows.
        """
        if packet.pos is not None:
            part = bisect_right(self.positions, packet.pos)
        if part:
            more = round(self.seconds[part - 1] / float(packet.time_base))
            if packet.pts is not None:
                packet.pts += more
            if packet.dts is not None:
                packet.dts += more
        return part


NO_JOINS = Joins()


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
    spans: dict[int, tuple[float, float]] = {}  # first start and last end of each part, seconds
    parts: dict[int, int] = {}
    for mark in known:
        if mark.position is not None:
            parts[mark.track] = bisect_right(positions, mark.position)
        part = parts.get(mark.track, 0)
        start, end = spans.get(part, (mark.start, mark.end))
        spans[part] = min(start, mark.start), max(end, mark.end)
    added: list[float] = []
    reached = spans[0][1] if 0 in spans else 0.0
    for part in range(1, len(positions) + 1):
        start, end = spans.get(part, (reached, reached))
        added.append(reached - start)
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
