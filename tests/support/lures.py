"""Files that name other files or addresses, and files that are no video at all.

``LURES`` makes them, by kind: each takes the bait and a source of chance, and gives a suffix and
the data. They are in every format by which libav could be led to a second file.
"""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

EBML = (
    b"\x1a\x45\xdf\xa3",  # header
    b"\x18\x53\x80\x67",  # segment
    b"\x11\x4d\x9b\x74",  # seek head
    b"\x15\x49\xa9\x66",  # info
    b"\x16\x54\xae\x6b",  # tracks
    b"\x1f\x43\xb6\x75",  # cluster
    b"\x1c\x53\xbb\x6b",  # cues
)


@dataclass(frozen=True)
class Bait:
    """What a file may try to lead a reader to, and must not."""

    path: str
    """Absolute path of a real clip."""
    url: str
    """HTTP address at which somebody listens."""


_Made = tuple[str, bytes]


def _hls(bait: Bait, choose: random.Random) -> _Made:
    target = choose.choice([bait.path, f"file://{bait.path}", bait.url, f"concat:{bait.path}"])
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{bait.url}/key"\n' if choose.random() < 0.3 else ""
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
    return ".m3u8", f"{head}{key}#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n".encode()


def _hls_master(bait: Bait, choose: random.Random) -> _Made:
    return ".m3u8", f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{bait.url}/a.m3u8\n".encode()


def _dash(bait: Bait, choose: random.Random) -> _Made:
    target = choose.choice([bait.path, bait.url])
    return ".mpd", (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" minBufferTime="PT1S"><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>'
        f"{target}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()


def _entities(bait: Bait, choose: random.Random) -> _Made:
    head = f'<!DOCTYPE MPD [<!ENTITY x SYSTEM "file://{bait.path}">]>'
    return ".mpd", f'<?xml version="1.0"?>{head}<MPD type="static">&x;</MPD>'.encode()


def _ffconcat(bait: Bait, choose: random.Random) -> _Made:
    target = choose.choice([bait.path, bait.url])
    return ".ffconcat", f"ffconcat version 1.0\nfile '{target}'\n".encode()


def _sdp(bait: Bait, choose: random.Random) -> _Made:
    return ".sdp", (
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    )


def _list(bait: Bait, choose: random.Random) -> _Made:
    return choose.choice(
        [
            (".asx", f'<asx version="3.0"><entry><ref href="{bait.url}"/></entry></asx>'.encode()),
            (".ram", f"{bait.url}\n".encode()),
            (".smil", f'<smil><body><video src="{bait.path}"/></body></smil>'.encode()),
            (".avs", f'AviSource("{bait.path}")\n'.encode()),
            (".vpy", f'open("{bait.path}").read()\n'.encode()),
            (".idx", b"# VobSub index file, v7\nid: en, index: 0\n"),
            (".ism", f'<SmoothStreamingMedia Url="{bait.url}"/>'.encode()),
        ]
    )


def _box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def _reference_movie(bait: Bait, choose: random.Random) -> _Made:
    target = choose.choice([bait.url, f"file://{bait.path}", bait.path]).encode() + b"\0"
    reference = _box(b"rdrf", bytes(4), b"url ", struct.pack(">I", len(target)), target)
    movie = _box(b"moov", _box(b"rmra", _box(b"rmda", reference)))
    return ".mov", _box(b"ftyp", b"qt  \0\0\2\0qt  ") + movie


def _matroska_element(name: bytes, content: bytes) -> bytes:
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content


def _linked_segment(bait: Bait, choose: random.Random) -> _Made:
    """Matroska whose header says in which file it goes on, with an attachment."""
    element = _matroska_element
    header = element(EBML[0], element(b"\x42\x82", b"matroska"))
    next_file = element(b"\x3e\x83\xbb", bait.path.encode())
    info = element(EBML[3], element(b"\x2a\xd7\xb1", b"\x0f\x42\x40") + next_file)
    file = element(b"\x46\x6e", bait.path.encode()) + element(b"\x46\x5c", choose.randbytes(99))
    attachments = element(b"\x19\x41\xa4\x69", element(b"\x61\xa7", file))
    return ".mkv", header + element(EBML[1], info + attachments)


def _picture(bait: Bait, choose: random.Random) -> _Made:
    """A valid PNG; or one that claims to be of a size nobody can hold; or the start of a JPEG."""
    side = choose.choice([1, 16, 60_000])

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(17 * 16))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return choose.choice(
        [(".png", png), (".jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + png), (".gif", b"GIF89a" + png)]
    )


def _svg(bait: Bait, choose: random.Random) -> _Made:
    return ".svg", (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<image xlink:href="file://{bait.path}"/></svg>'
    ).encode()


def _archive(bait: Bait, choose: random.Random) -> _Made:
    if choose.random() < 0.5:
        return ".gz", gzip.compress(bytes(1 << 20), mtime=0)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        made.writestr(zipfile.ZipInfo("../../" + bait.path), b"x")
    return ".zip", held.getvalue()


def _junk(bait: Bait, choose: random.Random) -> _Made:
    return ".mp4", choose.randbytes(choose.choice([1, 12, 1_000, 100_000]))


def _nothing(bait: Bait, choose: random.Random) -> _Made:
    return ".mp4", b""


def _zeros(bait: Bait, choose: random.Random) -> _Made:
    return ".mp4", bytes(choose.choice([1, 8, 4_096, 1 << 20]))


def _nested(bait: Bait, choose: random.Random) -> _Made:
    """Boxes in boxes in boxes, as deep as they go."""
    depth = choose.choice([10, 1_000, 20_000])
    sizes = (8 * (depth - level) for level in range(depth))
    boxes = b"".join(struct.pack(">I4s", size, b"moov") for size in sizes)
    return ".mp4", _box(b"ftyp", b"isom\0\0\2\0isom") + boxes


LURES: dict[str, Callable[[Bait, random.Random], _Made]] = {
    "HLS playlist": _hls,
    "HLS master playlist": _hls_master,
    "DASH manifest": _dash,
    "XML entity": _entities,
    "concat script": _ffconcat,
    "SDP": _sdp,
    "other playlist": _list,
    "reference movie": _reference_movie,
    "linked segment": _linked_segment,
    "still picture": _picture,
    "SVG": _svg,
    "archive": _archive,
    "junk": _junk,
    "nothing": _nothing,
    "zeros": _zeros,
    "nested boxes": _nested,
}


def with_external_data(mp4: bytes, path: str) -> bytes:
    """Return an MP4 whose tracks say that their samples lie in a file beside it, named as ``path``.

    The data reference (ISO/IEC 14496-12, 8.7.2) is an ``alis`` record (QuickTime, "Data Reference
    Atoms"), which is the kind that libav can follow. The index must come after the media data.
    """
    data = mp4
    name = path.rpartition("/")[2].encode()
    record = bytearray(150)
    record[50:114] = bytes([min(len(name), 63)]) + name[:63].ljust(63, b"\0")
    record[130:134] = b"\0\1\0\1"  # directories up and down: the file lies beside this one
    full = path.encode()
    tags = b"".join(
        struct.pack(">hH", kind, len(text)) + text + b"\0" * (len(text) % 2)
        for kind, text in ((2, full), (18, full))
    )
    alias = _box(b"alis", bytes(4), bytes(record), tags, struct.pack(">hH", -1, 0))
    at = data.find(b"url \0\0\0\1")
    while at >= 0:
        start = at - 4
        data = data[:start] + alias + data[start + 12 :]
        grown = len(alias) - 12
        # Every box that holds this one grows with it; walk them from the outside.
        data = _grown(data, start, grown)
        at = data.find(b"url \0\0\0\1", start + len(alias))
    return data


def _grown(data: bytes, inside: int, by: int) -> bytes:
    """Add to the size of each box that holds the position."""
    changed = bytearray(data)
    at, end = 0, len(data)
    while at + 8 <= end:
        size, name = cast("tuple[int, bytes]", struct.unpack_from(">I4s", data, at))
        if size < 8:
            break
        if at < inside < at + size:
            struct.pack_into(">I", changed, at, size + by)
            if name == b"dref":
                break
            at, end = at + 8, at + size + by
        else:
            at += size
    return bytes(changed)
