"""NAL units, in which H.264 and HEVC are packed: finding them and reading their first bits."""

from __future__ import annotations

from collections.abc import Iterator

from ugc_models.media.bitstream.kind import Unclear

_MOST_UNITS = 2_000
"""In one packet. A picture has a few dozen; what has more was made to cost time."""
_ORIENTATION = 47
"""The SEI message that turns all pictures from here on, the same number in both codecs."""
_LONGEST_MESSAGES = 1 << 16
_START = b"\x00\x00\x01"


def units(data: bytes, length_size: int | None) -> Iterator[bytes]:
    """Yield the NAL units of a packet.

    Each comes after its length in ``length_size`` bytes (ISO/IEC 14496-15), or where that is None
    after a start code (Annex B of either codec). Raises ``Unclear`` if they do not add up.
    """
    found = _after_start_codes(data) if length_size is None else _after_lengths(data, length_size)
    for count, unit in enumerate(found):
        if count == _MOST_UNITS:
            raise Unclear
        yield unit


def _after_lengths(data: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        start = at + length_size
        at = start + int.from_bytes(data[at:start], "big")
        if not start < at <= len(data):
            raise Unclear
        yield data[start:at]


def _after_start_codes(data: bytes) -> Iterator[bytes]:
    at = data.find(_START)
    # Nothing but zeros may stand before the first one.
    if at < 0 or data[:at].strip(b"\x00"):
        raise Unclear
    while at >= 0:
        start = at + len(_START)
        at = data.find(_START, start)
        unit = data[start : at if at >= 0 else len(data)].rstrip(b"\x00")
        if not unit:
            raise Unclear
        yield unit


def unescaped(unit: bytes) -> bytes:
    """Return the unit without the bytes that keep start codes from appearing inside it."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00")


def turns_pictures(messages: bytes) -> bool:
    """Tell whether an SEI unit, its header taken off, has a message on the display orientation.

    Each message is its type and its size, both in bytes of which all but the last are 255, and that
    many bytes of content. Raises ``Unclear`` if there is too much of them.
    """
    if len(messages) > _LONGEST_MESSAGES:
        raise Unclear
    data = unescaped(messages)
    at = 0
    # The last byte is what fills the unit up.
    while at < len(data) - 1:
        numbers = []
        for _ in range(2):
            number = 0
            while at < len(data) and data[at] == 255:
                number += 255
                at += 1
            if at >= len(data):
                raise Unclear
            numbers.append(number + data[at])
            at += 1
        if numbers[0] == _ORIENTATION:
            return True
        at += numbers[1]
    return False


class ParameterSets:
    """The settings that pictures refer to: leaving packets out must not leave any of these out.

    They are safe when all there are stand in the header or the first packet, and where any is
    repeated in a packet, there is but one of its type: it cannot have replaced another one.
    """

    def __init__(self) -> None:
        self._known: dict[int, set[bytes]] = {}
        self._in_packets = False

    def add(self, unit_type: int, unit: bytes, *, packet: int | None) -> None:
        """Note one in the header (``packet`` is None) or a packet; ``Unclear`` if unsafe."""
        known = self._known.setdefault(unit_type, set())
        if packet and unit not in known:
            raise Unclear
        known.add(unit)
        self._in_packets |= packet is not None
        if self._in_packets and any(len(each) > 1 for each in self._known.values()):
            raise Unclear


class Bits:
    """Reads bits from the front; ``Unclear`` at the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Return the next ``count`` bits as a number."""
        self._left -= count
        if self._left < 0:
            raise Unclear
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """Return the next number in unsigned Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise Unclear
        return (1 << zeros) - 1 + self.take(zeros)
