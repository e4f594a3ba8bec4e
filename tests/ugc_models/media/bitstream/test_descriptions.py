"""Files that change their sample description midway are told from those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clips import write_clip
from ugc_models.media.bitstream.descriptions import one_description


def test_a_clip_has_one_for_each_track(tmp_path: Path) -> None:
    assert one_description(write_clip(tmp_path / "a.mp4", seconds=0.4))


@pytest.mark.parametrize("count", [2, 256, 1024])
def test_several_are_seen(count: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=0.4)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"stsd") + 8
    data[at : at + 4] = count.to_bytes(4, "big")
    path.write_bytes(data)
    assert not one_description(path)


def test_several_are_seen_across_the_pieces_in_which_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for before in range((1 << 20) - 13, (1 << 20) + 1):
        path.write_bytes(bytes(before) + b"stsd\0\0\0\0\0\0\0\2")
        assert not one_description(path)


def test_a_compressed_header_could_hold_several(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(b"\0\0\1\0cmov\0\0\0\x0cdcomzlib")
    assert not one_description(path)


def test_a_huge_file_is_not_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # takes no room on the disk
    assert not one_description(path)
