"""H.264 (ITU-T H.264, ISO/IEC 14496-10): which pictures stand alone, which nobody needs."""

from __future__ import annotations

from ugc_models.media.bitstream.kind import Kind, Unclear
from ugc_models.media.bitstream.nal import Bits, ParameterSets, turns_pictures, unescaped, units

_SLICE, _IDR_SLICE, _SEI, _SPS, _PPS = 1, 5, 6, 7, 8
_REFERENCE = 0x60  # the bits of nal_ref_idc
_HARMLESS = frozenset({9, 10, 11, 12})  # delimiter, ends of sequence and stream, filler
_LONG_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


class H264:
    """Tells the kinds of a stream's packets; call it on each in order.

    Only an IDR picture is an entry. Other I pictures, where an encoder says that decoders recover,
    may be as good, but nothing in them proves it. The frame numbers of the whole stream must be
    consecutive: a decoder makes up what is missing from one, and remembers it.
    """

    def __init__(self, extradata: bytes) -> None:
        self._sets = ParameterSets()
        self._packets = 0
        self._number_bits = 0
        self._next_number = 0
        self._length_size: int | None = None
        if extradata[:1] == b"\x01":
            self._read_header(extradata)
        elif extradata:
            for unit in units(extradata, None):
                self._read_set(unit, packet=None)

    def __call__(self, packet: bytes) -> Kind:
        """Return the kind of the next packet; raise ``Unclear`` if that is not certain."""
        types, needed, sets, first = set(), False, False, True
        for unit in units(packet, self._length_size):
            unit_type = unit[0] & 31
            if unit_type in (_SLICE, _IDR_SLICE):
                # A slice's first number is where in the picture it starts. A packet that goes on
                # with the picture of the one before it cannot be judged alone.
                if first and unit[1:2] < b"\x80":
                    raise Unclear
                first = False
                if self._number(unit) != (0 if unit_type == _IDR_SLICE else self._next_number):
                    raise Unclear
                types.add(unit_type)
                needed |= bool(unit[0] & _REFERENCE)
            elif unit_type in (_SPS, _PPS):
                self._read_set(unit, packet=self._packets)
                sets = True
            elif unit_type == _SEI:
                if turns_pictures(unit[1:]):
                    raise Unclear
            elif unit_type not in _HARMLESS:
                raise Unclear
        self._packets += 1
        self._count(entry=_IDR_SLICE in types, needed=needed)
        if types == {_IDR_SLICE}:
            return Kind.ENTRY
        return Kind.SPARE if types and not needed and not sets else Kind.NOTHING

    def _number(self, unit: bytes) -> int:
        """Return a slice's frame number (7.3.3)."""
        if not self._number_bits:
            raise Unclear
        bits = Bits(unescaped(unit[1:24]))
        for _ in range(3):  # where it starts, its type, its picture parameter set
            bits.golomb()
        return bits.take(self._number_bits)

    def _count(self, *, entry: bool, needed: bool) -> None:
        """Work out the next picture's frame number; one that nobody needs shares it (7.4.3)."""
        if entry:
            self._next_number = 0
        if needed:
            self._next_number = (self._next_number + 1) % (1 << self._number_bits)

    def _read_header(self, extradata: bytes) -> None:
        """Read an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1)."""
        if len(extradata) < 7:
            raise Unclear
        self._length_size = (extradata[4] & 3) + 1
        at, rest = 6, extradata[5] & 31
        for _ in range(2):
            for _ in range(rest):
                size = int.from_bytes(extradata[at : at + 2], "big")
                at += 2 + size
                if not size or at > len(extradata):
                    raise Unclear
                self._read_set(extradata[at - size : at].rstrip(b"\x00"), packet=None)
            rest = int.from_bytes(extradata[at : at + 1], "big")
            at += 1

    def _read_set(self, unit: bytes, *, packet: int | None) -> None:
        if not unit or unit[0] & 31 not in (_SPS, _PPS):
            raise Unclear
        if unit[0] & 31 == _SPS:
            bits = frame_number_bits(unit)
            if self._number_bits not in (0, bits):
                raise Unclear
            self._number_bits = bits
        self._sets.add(unit[0] & 31, unit, packet=packet)


def frame_number_bits(unit: bytes) -> int:
    """Return how many bits a frame number has, from a sequence parameter set (7.3.2.1.1).

    Raises ``Unclear`` unless every picture is a whole frame: half of an interlaced one can be spare
    while the other half is not. Also where reading on would take effort: scaling lists, planes
    coded one by one, numbers with gaps.
    """
    bits = Bits(unescaped(unit[1:200]))
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.golomb()  # its own number
    odd = False
    if profile in _LONG_PROFILES:
        if bits.golomb() == 3:  # chroma format 4:4:4
            odd |= bool(bits.take(1))
        bits.golomb()  # bit depths
        bits.golomb()
        bits.take(1)
        odd |= bool(bits.take(1))  # scaling lists
    number_bits = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    odd |= order_type == 1
    bits.golomb()  # reference frames
    odd |= bool(bits.take(1))  # gaps in frame numbers
    bits.golomb()  # width and height
    bits.golomb()
    if odd or not bits.take(1) or number_bits > 16:
        raise Unclear
    return number_bits
