"""VP9 (its bitstream specification, 6.2): which frames stand alone."""

from __future__ import annotations

from ugc_models.media.bitstream.kind import Kind, Unclear


def vp9(packet: bytes) -> Kind:
    """Return the kind of a packet; raise ``Unclear`` if it is none of VP9's.

    A key frame replaces all that a decoder remembers: every reference and every probability.
    """
    head = packet[0]
    if head >> 6 != 2 or head & 0x30 == 0x30:  # frame marker; profile 3 has another layout
        raise Unclear
    # show_existing_frame 0, frame_type 0 (key), show_frame 1, and the code that follows them.
    if head & 0x0E == 0x02 and packet[1:4] == b"\x49\x83\x42":
        return Kind.ENTRY
    return Kind.NOTHING
