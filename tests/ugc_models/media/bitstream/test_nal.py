"""NAL units: found where they are, refused where they do not add up."""

from __future__ import annotations

import pytest

from ugc_models.media.bitstream.kind import Unclear
from ugc_models.media.bitstream.nal import Bits, ParameterSets, turns_pictures, units


def test_units_come_after_their_lengths() -> None:
    assert list(units(b"\0\0\0\2ab\0\0\0\1c", 4)) == [b"ab", b"c"]
    assert list(units(b"\2ab\1c", 1)) == [b"ab", b"c"]


def test_units_come_after_start_codes_of_three_or_four_bytes() -> None:
    assert list(units(b"\0\0\0\1ab\0\0\1c\0\0\0", None)) == [b"ab", b"c"]


@pytest.mark.parametrize(
    ("data", "length_size"),
    [
        (b"\0\0\0\7ab", 4),
        (b"\0\0\0\0", 4),
        (b"\0\0", 4),
        (b"ab", None),
        (b"a\0\0\1b", None),
        (b"\0\0\1\0\0\1b", None),
        (b"\1a" * 5_000, 1),
    ],
    ids=["too long", "empty", "no room", "no start", "late start", "nothing between", "too many"],
)
def test_units_that_do_not_add_up_are_unclear(data: bytes, length_size: int | None) -> None:
    with pytest.raises(Unclear):
        list(units(data, length_size))


def test_a_message_on_the_orientation_is_found_among_others() -> None:
    # Type 5 of 256 bytes, type 47 of 3, then the bit that ends the unit.
    other = b"\x05\xff\x01" + bytes(range(256))
    assert turns_pictures(other + b"\x2f\x03abc\x80")
    assert not turns_pictures(other + b"\x80")
    assert not turns_pictures(b"\x01\x01\x2f\x80")


def test_one_set_of_each_type_may_be_repeated() -> None:
    sets = ParameterSets()
    for packet in (None, 0, 1, 2):
        sets.add(7, b"sequence", packet=packet)
        sets.add(8, b"picture", packet=packet)


def test_several_sets_may_stand_in_the_header_if_none_is_repeated() -> None:
    sets = ParameterSets()
    sets.add(8, b"one", packet=None)
    sets.add(8, b"two", packet=None)
    with pytest.raises(Unclear):
        sets.add(8, b"one", packet=5)


def test_a_set_that_comes_later_is_unclear() -> None:
    sets = ParameterSets()
    sets.add(7, b"sequence", packet=0)
    with pytest.raises(Unclear):
        sets.add(8, b"picture", packet=1)


def test_exp_golomb_numbers() -> None:
    bits = Bits(bytes([0b1_010_011_0, 0b0100_0010, 0b1_0000000]))
    assert [bits.golomb() for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(Unclear):
        bits.golomb()
