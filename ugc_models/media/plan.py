"""Which packets a decoder must be given for some of the frames: pure, on what packets say."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import IntEnum

from ugc_models.media.bitstream.kind import Kind

_ENTRIES_TRIED = 8
"""Going back from a picture. One or two will do unless the times make no sense."""


@dataclass(frozen=True)
class Course:
    """The packets of a stream in the order of the file, which is that of decoding."""

    ticks: array[int] = field(default_factory=lambda: array("q"))
    """When each is shown."""
    kinds: bytearray = field(default_factory=bytearray)
    """``Kind`` of each."""

    def add(self, tick: int, kind: Kind) -> None:
        """Put one more packet at the end."""
        self.ticks.append(tick)
        self.kinds.append(kind)


class Step(IntEnum):
    """What to do with a packet."""

    LEAVE = 0
    DECODE = 1
    RESTART = 2
    """Take what the decoder still holds, make it forget everything, then decode."""


def plan(course: Course, wanted: Collection[int]) -> bytes | None:
    """Return a ``Step`` for each packet up to the last that matters; None where none can be left.

    For each wanted tick the decoder starts at the last entry before it and takes what follows, but
    for spare packets that are not wanted themselves. The first packet is always decoded: encoders
    sign their work in it, and decoders know some of them by their faults. None also where a tick
    is not that of exactly one shown packet.
    """
    places = _places(course, wanted)
    if places is None:
        return None
    steps = bytearray(places[-1] + 1)
    for start, end in _spans(course, places):
        steps[start : end + 1] = bytes([Step.DECODE]) * (end + 1 - start)
        if start:
            steps[start] = Step.RESTART
    keep = set(places)
    for place, step in enumerate(steps):
        if step == Step.DECODE and course.kinds[place] & Kind.SPARE and place not in keep:
            steps[place] = Step.LEAVE
    return bytes(steps) if Step.LEAVE in steps else None


def _places(course: Course, wanted: Collection[int]) -> list[int] | None:
    """Return where the wanted ticks are, ascending, the first packet besides."""
    ticks = set(wanted)
    places = [
        place
        for place, tick in enumerate(course.ticks)
        if tick in ticks and not course.kinds[place] & Kind.HIDDEN
    ]
    if len(places) != len(ticks) or len({course.ticks[place] for place in places}) != len(ticks):
        return None
    return sorted({0, *places})


def _spans(course: Course, places: list[int]) -> list[tuple[int, int]]:
    """Return the runs of packets, first and last, that hold the places and where each starts."""
    entries = [place for place, kind in enumerate(course.kinds) if kind & Kind.ENTRY]
    spans: list[tuple[int, int]] = []
    for place in places:
        near = bisect_right(entries, place)
        # A picture shown before the entry that it follows may need what is before that.
        start = next(
            (
                entry
                for entry in reversed(entries[max(0, near - _ENTRIES_TRIED) : near])
                if course.ticks[entry] <= course.ticks[place]
            ),
            0,
        )
        while spans and start <= spans[-1][1] + 1:
            start = min(start, spans.pop()[0])
        spans.append((start, place))
    return spans
