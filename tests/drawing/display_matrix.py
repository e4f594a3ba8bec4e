"""The turn by which a player shows an MP4's picture: the display matrix of the track header.

FFmpeg's libraries read the matrix, but PyAV has no way to write one, so it is set in the finished
file. Layout: ISO/IEC 14496-12, boxes (4.2), track header `tkhd` (8.3.2) and handler `hdlr` (8.4.3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

# (a, b, c, d) per clockwise quarter turn: the matrix {a b u, c d v, x y w} takes a stored point
# (p, q) to (a p + c q + x, b p + d q + y); y points down.
_TURNS = ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))


def set_quarter_turns(path: Path, turns: int) -> None:
    """Let players turn the picture of the first video track clockwise by `turns` times 90 degrees.

    Raises:
        ValueError: the file has no video track.
    """
    data = bytearray(path.read_bytes())
    for name, start, end in _boxes(data, 0, len(data)):
        if name != b"moov":
            continue
        for inner, track_start, track_end in _boxes(data, start, end):
            if inner == b"trak" and _handler(data, track_start, track_end) == b"vide":
                _write_matrix(data, track_start, track_end, turns % 4)
                path.write_bytes(data)
                return
    raise ValueError(f"{path} has no video track to turn")


def _boxes(data: bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, first byte of the content, end) of each box between two offsets."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            raise ValueError(f"the box {name!r} at byte {start} has an impossible size of {size}")
        yield name, start + 8, start + size
        start += size


def _child(data: bytearray, start: int, end: int, wanted: bytes) -> tuple[int, int]:
    for name, first, last in _boxes(data, start, end):
        if name == wanted:
            return first, last
    raise ValueError(f"there is no box {wanted!r} where the format has one")


def _handler(data: bytearray, start: int, end: int) -> bytes:
    media = _child(data, start, end, b"mdia")
    handler, _ = _child(data, *media, b"hdlr")
    return bytes(data[handler + 8 : handler + 12])  # after version, flags and a reserved field


def _write_matrix(data: bytearray, start: int, end: int, turns: int) -> None:
    header, _ = _child(data, start, end, b"tkhd")
    version = data[header]
    matrix = header + (52 if version == 1 else 40)
    width, height = (value >> 16 for value in struct.unpack_from(">II", data, matrix + 36))
    a, b, c, d = _TURNS[turns]
    # The turned picture is moved back so that its corner is at the origin again.
    x = -min(0, a * width, c * height, a * width + c * height)
    y = -min(0, b * width, d * height, b * width + d * height)
    one, unit = 1 << 16, 1 << 30  # 16.16 fixed point, and 2.30 in the last column
    values = (a * one, b * one, 0, c * one, d * one, 0, x * one, y * one, unit)
    struct.pack_into(">9i", data, matrix, *values)
