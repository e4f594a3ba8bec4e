"""Which packets of a stream must be decoded for some of its frames (H.264 and HEVC).

Two things save work. libav can be told to leave out a frame if no other is made from it
(``skip_frame``). And decoding starts anew at every IDR picture: from the last wanted frame to the
next of them, nothing need be decoded. Only the headers of NAL units are read for this.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterator
from enum import IntEnum, IntFlag
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_SLICES = {"h264": range(1, 6), "hevc": range(32)}
_IDR = {"h264": frozenset({5}), "hevc": frozenset({19, 20})}
_FILLING = {"h264": frozenset({9, 12}), "hevc": frozenset({35, 38})}
"""Types of NAL units: of a picture; of a picture at which decoding can start; delimiters and
filler, without which nothing changes. All others (parameter sets, messages) may matter later."""

_MOST_UNITS = 2_000
"""In one packet. A picture has a few dozen; a packet with more was made to cost time."""
_START = re.compile(rb"\x00\x00\x01(?=(.{2,3}))", re.DOTALL)

# The box of sample descriptions with more than one in it (ISO/IEC 14496-12, 8.5.2; libav takes at
# most 1024), and a header that is itself compressed (QuickTime's "cmov").
_SEVERAL = re.compile(rb"stsd.{4}\x00\x00(?:\x00[\x02-\xff]|[\x01-\x03].|\x04\x00)", re.DOTALL)
_COMPRESSED = re.compile(rb"cmov.{4}dcom", re.DOTALL)
_LONGEST_MATCH, _PIECE, _LARGEST_FILE = 12, 1 << 20, 1 << 30


class Kind(IntFlag):
    """What is known of a packet."""

    IDR = 1  # no packet from here on needs one before
    BARE = 2  # it holds a picture, and nothing else that a later one could need


class Step(IntEnum):
    """What is done with a packet."""

    LEAVE = 0
    REFERENCE = 1  # its picture is decoded if another is made from it
    DECODE = 2


class PacketIndex:
    """The packets of a stream in the order of the file, which is that of decoding."""

    def __init__(self) -> None:
        self.ticks = array("q")  # when the picture of each is shown
        self.kinds = bytearray()  # ``Kind`` of each
        # Temporal layer of each picture. HEVC marks pictures from which no other *of their layer*
        # is made; one of a higher layer may be.
        self.layers = bytearray()

    def add(self, tick: int, kind: Kind, layer: int = 0) -> None:
        self.ticks.append(tick)
        self.kinds.append(kind)
        self.layers.append(layer)

    def steps(self, wanted: Collection[int]) -> bytes:
        """Return a ``Step`` for each packet, given the ticks of the frames that are wanted."""
        ticks = frozenset(wanted)
        top = max(self.layers, default=0)
        steps = bytearray(
            Step.DECODE if tick in ticks or layer < top else Step.REFERENCE
            for tick, layer in zip(self.ticks, self.layers, strict=True)
        )
        starts = [at for at, kind in enumerate(self.kinds) if kind & Kind.IDR]
        for start, end in pairwise([*starts, len(steps)]):
            last = max((at for at in range(start, end) if self.ticks[at] in ticks), default=None)
            if last is None:  # an IDR picture that brings parameter sets is decoded all the same
                last = start - 1 if self.kinds[start] & Kind.BARE else start
            tail = last + 1
            if all(kind & Kind.BARE for kind in self.kinds[tail:end]):
                steps[tail:end] = bytes(end - tail)
        return bytes(steps)


class PacketReader:
    """Puts packets of a stream into a ``PacketIndex``."""

    def __init__(self, path: Path, container_format: str, stream: VideoStream) -> None:
        self.index: PacketIndex | None = None
        """None where nothing is known of how the stream's packets depend on each other."""
        self._codec = stream.codec_context.name
        if self._codec in _SLICES:
            self.index = PacketIndex()
        header = stream.codec_context.extradata or b""
        self._length_size: int | None = None  # bytes before each NAL unit; None for start codes
        if header[:1] == b"\x01" and len(header) > 21:
            self._length_size = (header[4 if self._codec == "h264" else 21] & 3) + 1
        # PyAV does not show which packet a second description of the samples begins with.
        self._groups = not container_format.startswith("mov") or one_description(path)

    def add(self, packet: Packet) -> None:
        """Put the next packet into the index, or give it up where the packet is not understood."""
        if self.index is None:
            return
        heads = list(islice(self._heads(bytes(packet)), _MOST_UNITS + 1))
        whole = len(heads) <= _MOST_UNITS and all(len(head) > 1 for head in heads)
        h264 = self._codec == "h264"
        types = [head[0] & 31 if h264 else head[0] >> 1 & 63 for head in heads] if whole else []
        slices = [at for at, each in enumerate(types) if each in _SLICES[self._codec]]
        if packet.pts is None or packet.is_corrupt or not slices:
            self.index = None
            return
        first = heads[slices[0]]
        kind = Kind(0)
        # Without this bit the packet goes on with the picture of the one before.
        if self._groups and first[-1] & 0x80:
            found = {types[at] for at in slices}
            kind |= Kind.IDR if found <= _IDR[self._codec] else Kind(0)
            kind |= Kind.BARE if {*types} <= found | _FILLING[self._codec] else Kind(0)
        self.index.add(packet.pts, kind, 0 if h264 else max((first[1] & 7) - 1, 0))

    def _heads(self, data: bytes) -> Iterator[bytes]:
        """Yield the header of each NAL unit and the first byte after it."""
        length = 2 if self._codec == "h264" else 3
        if self._length_size is None:
            for found in _START.finditer(data):
                yield found[1][:length]
            return
        at = 0
        while at < len(data):
            start = at + self._length_size
            at = start + int.from_bytes(data[at:start], "big")
            yield data[start : start + length]


def one_description(path: Path) -> bool:
    """Whether each track of an MP4 or QuickTime file is certain to have one sample description.

    False also where bytes of sound or picture look like several by accident, which is rare, and for
    a file too large to look through.
    """
    if path.stat().st_size > _LARGEST_FILE:
        return False
    tail = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            data = tail + piece
            if _SEVERAL.search(data) or _COMPRESSED.search(data):
                return False
            tail = data[1 - _LONGEST_MATCH :]
    return True
