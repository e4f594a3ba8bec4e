"""Which packets of a stream must be decoded for some of its frames.

H.264 and HEVC: libav can be told what to leave out (``skip_frame``): a frame if no other is made
from it, and any frame. Decoding starts anew at every IDR picture: from the last wanted frame to the
next of them, nothing need be decoded. Every packet still goes to the decoder, which takes parameter
sets and changed headers out of it. Only the headers of NAL units are read here.

VP8, VP9, AV1 and codecs whose every picture stands alone start anew at each key frame: packets from
the last wanted frame to the next of them are not given to the decoder at all.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterator
from enum import IntEnum
from itertools import islice, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# Types of NAL units: of a picture, and of a picture at which decoding can start.
_SLICES = {"h264": range(1, 6), "hevc": range(32)}
_IDR = {"h264": frozenset({5}), "hevc": frozenset({19, 20})}
_BY_KEY_FRAME = frozenset({"vp8", "vp9", "av1", "mjpeg", "prores", "dnxhd", "ffv1"})
"""Codecs in which no picture is made from one before a key frame, nor shown before it."""

_MOST_UNITS = 2_000
"""In one packet. A picture has a few dozen; a packet with more was made to cost time."""
_START = re.compile(rb"\x00\x00\x01(?=(.{2,3}))", re.DOTALL)


class Step(IntEnum):
    """What is done with a packet."""

    LEAVE = 0
    REFERENCE = 1  # its picture is decoded if another is made from it
    DECODE = 2


class PacketIndex:
    """The packets of a stream in the order of the file, which is that of decoding."""

    def __init__(self) -> None:
        self.ticks = array("q")  # when the picture of each is shown
        self.starts: list[int] = []  # places of IDR pictures: none from there on needs one before
        # Temporal layer of each picture. HEVC marks pictures from which no other *of their layer*
        # is made; one of a higher layer may be.
        self.layers = bytearray()
        # Every packet goes to the decoder, which is told what to do with it; otherwise those that
        # are left out do not, and all others are decoded.
        self.told = True

    def add(self, tick: int, *, idr: bool, layer: int = 0) -> None:
        if idr:
            self.starts.append(len(self.ticks))
        self.ticks.append(tick)
        self.layers.append(layer)

    def steps(self, wanted: Collection[int]) -> bytes:
        """Return a ``Step`` for each packet, given the ticks of the frames that are wanted."""
        ticks = frozenset(wanted)
        top = max(self.layers, default=0)
        steps = bytearray(
            Step.DECODE if tick in ticks or layer < top or not self.told else Step.REFERENCE
            for tick, layer in zip(self.ticks, self.layers, strict=True)
        )
        for start, end in pairwise([*self.starts, len(steps)]):
            last = max((at for at in range(start, end) if self.ticks[at] in ticks), default=None)
            tail = start if last is None else last + 1
            steps[tail:end] = bytes(end - tail)
        return bytes(steps)


class PacketReader:
    """Puts packets of a stream into a ``PacketIndex``."""

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context.name
        # None where nothing is known of how the stream's packets depend on each other.
        known = self._codec in _SLICES or self._codec in _BY_KEY_FRAME
        self.index = PacketIndex() if known else None
        if self.index is not None:
            self.index.told = self._codec in _SLICES
        header = stream.codec_context.extradata or b""
        self._length_size: int | None = None  # bytes before each NAL unit; None for start codes
        if header[:1] == b"\x01" and len(header) > 21:
            self._length_size = (header[4 if self._codec == "h264" else 21] & 3) + 1

    def add(self, packet: Packet) -> None:
        """Put the next packet into the index, or give it up where the packet is not understood."""
        if self.index is None:
            return
        if not self.index.told:
            if packet.pts is None or packet.is_corrupt:
                self.index = None
            else:
                self.index.add(packet.pts, idr=packet.is_keyframe)
            return
        heads = list(islice(self._heads(bytes(packet)), _MOST_UNITS + 1))
        whole = len(heads) <= _MOST_UNITS and all(len(head) > 1 for head in heads)
        h264 = self._codec == "h264"
        types = [head[0] & 31 if h264 else head[0] >> 1 & 63 for head in heads] if whole else []
        slices = [at for at, each in enumerate(types) if each in _SLICES[self._codec]]
        # Without this bit the packet goes on with the picture of the one before.
        whole = bool(slices) and bool(heads[slices[0]][-1] & 0x80)
        if packet.pts is None or packet.is_corrupt or not whole:
            self.index = None
            return
        idr = {types[at] for at in slices} <= _IDR[self._codec]
        layer = 0 if h264 else max((heads[slices[0]][1] & 7) - 1, 0)
        self.index.add(packet.pts, idr=idr, layer=layer)

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
