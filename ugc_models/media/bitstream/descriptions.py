"""How often an MP4 or QuickTime file says what its samples are."""

from __future__ import annotations

import re
from pathlib import Path

_PIECE = 1 << 20
# The box's name, its version and flags, and the number of descriptions in it (ISO/IEC 14496-12,
# 8.5.2), 2 to 1024: libav takes no more.
_SEVERAL = re.compile(rb"stsd.{4}\x00\x00(?:\x00[\x02-\xff]|[\x01-\x03].|\x04\x00)", re.DOTALL)
# The start of a header that is itself compressed (QuickTime File Format, "Compressed Movie
# Resources"), into which nobody looks here. Two patterns: together they take ten times as long.
_COMPRESSED = re.compile(rb"cmov.{4}dcom", re.DOTALL)
_LONGEST = 12
_LARGEST_FILE = 1 << 30
"""Bytes. What is larger is not read through for this, however much of it there may be."""


def one_description(path: Path) -> bool:
    """Tell whether each track is certain to have one sample description at most.

    False also where bytes of sound or picture look like several by accident, which is rare, and for
    a file too large to look through.
    """
    if path.stat().st_size > _LARGEST_FILE:
        return False
    tail = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            data = tail + piece
            if _SEVERAL.search(data) or _COMPRESSED.search(data):
                return False
            tail = data[1 - _LONGEST :]
    return True
