"""HEVC (ITU-T H.265): which pictures decoding may start at."""

from __future__ import annotations

from ugc_models.media.bitstream.kind import Kind, Unclear
from ugc_models.media.bitstream.nal import ParameterSets, turns_pictures, units

_ENTRIES = frozenset({19, 20, 21})  # IDR_W_RADL, IDR_N_LP, CRA
_OTHER_RANDOM_ACCESS = frozenset({16, 17, 18, 22, 23})
_SETS = frozenset({32, 33, 34})  # video, sequence, picture
_SEI = frozenset({39, 40})
_HARMLESS = frozenset({35, 38})  # delimiter, filler
_LAST_PICTURE_TYPE = 31


class Hevc:
    """Tells the kinds of a stream's packets; call it on each in order.

    After a CRA picture come some that are shown before it and may need what is before it; those
    shown after it never do (8.1.3, 3.147). That is just what ``Kind.ENTRY`` promises.

    No picture is called spare, though a bit marks those that no other one is made from: each of
    them tells the decoder which pictures to keep, and a damaged one can make it drop a picture that
    is needed. What decoding everything would bring is then known only from decoding everything.
    Packets that are lost without a trace are not noticed: pictures carry no running number.
    """

    def __init__(self, extradata: bytes) -> None:
        self._sets = ParameterSets()
        self._packets = 0
        self._length_size: int | None = None
        if extradata[:1] == b"\x01":
            self._read_header(extradata)
        elif extradata:
            for unit in units(extradata, None):
                self._look(unit, packet=None)

    def __call__(self, packet: bytes) -> Kind:
        """Return the kind of the next packet; raise ``Unclear`` if that is not certain."""
        types, first = set(), True
        for unit in units(packet, self._length_size):
            unit_type = self._look(unit, packet=self._packets)
            if unit_type > _LAST_PICTURE_TYPE:
                continue
            # A packet that goes on with the picture of the one before it cannot be judged alone.
            if first and unit[2] < 0x80:
                raise Unclear
            first = False
            # no_output_of_prior_pics_flag makes a decoder throw away pictures that it still holds.
            if unit_type in _ENTRIES and unit[2] & 0x40:
                raise Unclear
            types.add(unit_type)
        self._packets += 1
        return Kind.ENTRY if types and types <= _ENTRIES else Kind.NOTHING

    def _look(self, unit: bytes, *, packet: int | None) -> int:
        """Return the type of a unit; ``Unclear`` if it could reach beyond its own packet."""
        if len(unit) < 3:
            raise Unclear
        unit_type, layer = unit[0] >> 1 & 63, (unit[0] & 1) << 5 | unit[1] >> 3
        if layer or unit_type in _OTHER_RANDOM_ACCESS:
            raise Unclear
        if unit_type <= _LAST_PICTURE_TYPE:
            if packet is None:
                raise Unclear
        elif unit_type in _SETS:
            self._sets.add(unit_type, unit, packet=packet)
        elif unit_type in _SEI:
            if turns_pictures(unit[2:]):
                raise Unclear
        elif unit_type not in _HARMLESS:
            raise Unclear
        return unit_type

    def _read_header(self, extradata: bytes) -> None:
        """Read an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1)."""
        if len(extradata) < 23:
            raise Unclear
        self._length_size = (extradata[21] & 3) + 1
        at = 23
        for _ in range(extradata[22]):
            count = int.from_bytes(extradata[at + 1 : at + 3], "big")
            at += 3
            for _ in range(count):
                size = int.from_bytes(extradata[at : at + 2], "big")
                at += 2 + size
                if not size or at > len(extradata):
                    raise Unclear
                self._look(extradata[at - size : at].rstrip(b"\x00"), packet=None)
