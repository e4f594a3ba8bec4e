"""The kinds of a stream's packets, whatever its codec."""

from __future__ import annotations

from collections.abc import Callable

from ugc_models.media.bitstream.h264 import H264
from ugc_models.media.bitstream.hevc import Hevc
from ugc_models.media.bitstream.kind import Kind, Unclear
from ugc_models.media.bitstream.vp9 import vp9


class KindReader:
    """Tells the kind of each packet, until it meets one that it cannot be certain of.

    A container's own keyframe marks are not asked: they also stand where a decoder only begins to
    recover, and a damaged or hostile file has them anywhere.
    """

    def __init__(self, codec: str, extradata: bytes) -> None:
        """Prepare for a stream of this codec, by libav's name, with this header."""
        self._look: Callable[[bytes], Kind] | None = None
        try:
            if codec == "h264":
                self._look = H264(extradata)
            elif codec == "hevc":
                self._look = Hevc(extradata)
            elif codec == "vp9":
                self._look = vp9
        except Unclear:
            pass

    def __call__(self, packet: bytes) -> Kind | None:
        """Return the next packet's kind; None, now and for ever, where it is not certain."""
        if self._look is None:
            return None
        try:
            return self._look(packet)
        except Unclear:
            self._look = None
            return None
