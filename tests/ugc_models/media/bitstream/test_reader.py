"""Kinds of real encoders' packets, and of those that nothing certain can be said of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from tests.support.clips import write_clip
from ugc_models.media.bitstream.kind import Kind
from ugc_models.media.bitstream.reader import KindReader


def stream_of(path: Path) -> tuple[str, bytes, list[bytes]]:
    """Return codec, header and packets of a file's picture."""
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        return context.name, context.extradata or b"", packets


def kinds_of(codec: str, header: bytes, packets: list[bytes]) -> list[Kind | None]:
    reader = KindReader(codec, header)
    return [reader(packet) for packet in packets]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {}),
        ("a.ts", {}),
        ("a.mkv", {}),
        ("a.flv", {}),
        ("a.mp4", {"codec": "libx265"}),
        ("a.ts", {"codec": "libx265"}),
        ("a.webm", {"codec": "libvpx-vp9"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("codec", ""),
)
def test_each_group_of_pictures_has_its_entry(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    path = write_clip(tmp_path / name, seconds=2.0, gop=10, audio=None, **settings)
    kinds = kinds_of(*stream_of(path))
    with av.open(str(path)) as container:
        marked = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert len(kinds) == 50 and None not in kinds
    assert [kind is not None and Kind.ENTRY in kind for kind in kinds] == marked
    assert sum(marked) >= 5


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_b_frames_are_spare(suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / f"a{suffix}", seconds=2.0, gop=50, b_frames=1, audio=None)
    kinds = kinds_of(*stream_of(path))
    assert kinds[0] == Kind.ENTRY
    assert 20 <= sum(kind == Kind.SPARE for kind in kinds) <= 25


def test_a_codec_that_is_not_known_has_no_kinds(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", codec="mpeg4", seconds=0.4, audio=None)
    assert set(kinds_of(*stream_of(path))) == {None}


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        lambda packet: packet[:-1],
        lambda packet: b"\0\0\0\2\x67\x64" + packet,
        lambda packet: packet[:5] + b"\x01" + packet[6:],
        lambda packet: b"\0\0\0\5\x06\x2f\x01\x08\x80" + packet,
        lambda packet: b"\0\0\0\2\x74\x80" + packet,
        lambda packet: packet[:6] + bytes([packet[6] ^ 0x80]) + packet[7:],
    ],
    ids=["cut", "another sequence", "half a picture", "turns", "extension", "frame number"],
)
def test_from_an_odd_packet_on_nothing_is_certain(change: Change, tmp_path: Path) -> None:
    codec, header, packets = stream_of(write_clip(tmp_path / "a.mp4", seconds=0.4, audio=None))
    assert None not in kinds_of(codec, header, packets)
    changed = [change(packet) if at == 3 else packet for at, packet in enumerate(packets)]
    kinds = kinds_of(codec, header, changed)
    assert None not in kinds[:3] and set(kinds[3:]) == {None}


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9"])
@pytest.mark.parametrize("header", [b"", b"\1", b"\1" * 40, b"\0\0\1\x67"])
@pytest.mark.parametrize("packet", [b"\0", b"\0\0\0\1\x65", b"\xff" * 9, bytes(9)])
def test_no_bytes_break_the_reader(codec: str, header: bytes, packet: bytes) -> None:
    kind = KindReader(codec, header)(packet)
    assert kind in (None, Kind.NOTHING)
