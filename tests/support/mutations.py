"""Broken, absurd and malicious media files, the same ones for the same seed.

``mutant(seed, sources, bait)`` makes one. Most are damaged copies of real clips; others are files
that name other files or addresses, or no videos at all (``tests/support/lures.py``).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.support.lures import EBML, LURES, Bait, with_external_data

_BOXES = (
    b"ftyp moov mvhd trak tkhd edts elst mdia mdhd hdlr minf dinf dref stbl stsd stts stsc stsz "
    b"stco ctts stss avc1 avcC hvcC mp4a esds moof traf tfhd trun mdat free udta"
).split()
_SUFFIXES = (".mp4", ".mkv", ".ts", ".avi", ".m3u8", ".mpd", ".txt", ".jpg", ".mp3", ".sdp", "")


@dataclass(frozen=True)
class Mutant:
    """One file to be read."""

    seed: int
    kind: str
    """What was done to it."""
    suffix: str
    data: bytes

    def __str__(self) -> str:
        return f"seed {self.seed} ({self.kind}, {self.suffix or 'no suffix'}, {len(self.data)} B)"


def mutant(seed: int, sources: Mapping[str, bytes], bait: Bait) -> Mutant:
    """Make the file of this seed from one of the clips in ``sources``, by file name."""
    choose = random.Random(seed)
    if choose.random() < 0.25:
        kind = choose.choice(sorted(LURES))
        suffix, data = LURES[kind](bait, choose)
        if choose.random() < 0.5:
            suffix = ".mp4"
        return Mutant(seed, kind, suffix, data)
    name = choose.choice(sorted(sources))
    if choose.random() < 0.05 and name.endswith(".mp4"):
        return Mutant(seed, "external data", ".mov", with_external_data(sources[name], bait.path))
    kind = choose.choice(sorted(_DAMAGES))
    data = _DAMAGES[kind](sources[name], choose)
    suffix = choose.choice(_SUFFIXES) if choose.random() < 0.15 else "." + name.rpartition(".")[2]
    return Mutant(seed, f"{kind} of {name}", suffix, data)


# Damage: a clip in, a broken one out.


def _flipped(data: bytes, choose: random.Random) -> bytes:
    damaged = bytearray(data)
    # Half of them in the index, where a single bit does most harm.
    index = data.rfind(b"moov")
    low = index if index > 0 and choose.random() < 0.5 else 0
    for _ in range(choose.choice([1, 2, 8, 64, 512])):
        damaged[choose.randrange(low, len(data))] ^= 1 << choose.randrange(8)
    return bytes(damaged)


def _cut(data: bytes, choose: random.Random) -> bytes:
    return data[: choose.randrange(len(data))]


def _headless(data: bytes, choose: random.Random) -> bytes:
    return data[choose.randrange(1, len(data)) :]


def _gap(data: bytes, choose: random.Random) -> bytes:
    start, end = sorted(choose.sample(range(len(data)), 2))
    return data[:start] + data[end:]


def _stutter(data: bytes, choose: random.Random) -> bytes:
    start, end = sorted(choose.sample(range(len(data)), 2))
    return data[:end] + data[start:end] * choose.choice([1, 3]) + data[end:]


def _filled(data: bytes, choose: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(choose.choice([1, 4])):
        at = choose.randrange(len(data))
        size = min(choose.choice([4, 64, 4096]), len(data) - at)
        fill = choose.choice([b"\0" * size, b"\xff" * size, choose.randbytes(size)])
        damaged[at : at + size] = fill
    return bytes(damaged)


def _absurd(choose: random.Random) -> int:
    return choose.choice(
        [0, 1, 2, 7, 8, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]
    )


def _box_sizes(data: bytes, choose: random.Random) -> bytes:
    """Give boxes (MP4) or elements (Matroska) sizes that cannot be; else numbers anywhere."""
    damaged = bytearray(data)
    boxes = [at for box in _BOXES if (at := data.find(box)) >= 4]
    elements = [at + 4 for name in EBML if (at := data.find(name)) >= 0]
    for _ in range(choose.choice([1, 1, 3])):
        if boxes and data[4:8] == b"ftyp":
            struct.pack_into(">I", damaged, choose.choice(boxes) - 4, _absurd(choose))
        elif elements:
            at = choose.choice(elements)
            size = choose.choice([b"\x01" + b"\xff" * 7, b"\xff", b"\x80", b"\x08\xff\xff\xff\xff"])
            damaged[at : at + len(size)] = size
        else:
            struct.pack_into(">I", damaged, choose.randrange(len(data) - 4), _absurd(choose))
    return bytes(damaged)


def _box_contents(data: bytes, choose: random.Random) -> bytes:
    """Put absurd numbers into the tables: counts, sizes, offsets, times, dimensions."""
    damaged = bytearray(data)
    boxes = [at for box in _BOXES if (at := data.find(box)) >= 4] or [0]
    for _ in range(choose.choice([1, 3, 10])):
        at = choose.choice(boxes) + 4 + 4 * choose.randrange(24)
        if at + 4 <= len(damaged):
            struct.pack_into(">I", damaged, at, _absurd(choose))
    return bytes(damaged)


def _joined(data: bytes, choose: random.Random) -> bytes:
    start = choose.randrange(len(data))
    return data[: choose.randrange(len(data))] + data[start:] + data


def _behind_junk(data: bytes, choose: random.Random) -> bytes:
    return choose.randbytes(choose.choice([1, 3, 188, 5_000])) + data


def _whole(data: bytes, choose: random.Random) -> bytes:
    return data


_DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits flipped": _flipped,
    "more bits flipped": _flipped,
    "end cut off": _cut,
    "start cut off": _headless,
    "middle cut out": _gap,
    "part repeated": _stutter,
    "parts overwritten": _filled,
    "absurd sizes": _box_sizes,
    "absurd contents": _box_contents,
    "joined with itself": _joined,
    "behind junk": _behind_junk,
    "untouched": _whole,
}
