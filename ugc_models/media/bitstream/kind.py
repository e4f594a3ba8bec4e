"""What is known of a packet."""

from __future__ import annotations

from enum import IntFlag


class Kind(IntFlag):
    """What a packet's picture depends on, and what depends on it."""

    NOTHING = 0
    ENTRY = 1
    """Decoding may start here: no picture that comes later in the file *and* is shown later needs
    what is before. (One that comes later and is shown earlier may need it.)"""
    SPARE = 2
    """No other picture needs it."""
    HIDDEN = 4
    """It is not shown: an edit list leaves it out."""


class Unclear(Exception):
    """Nothing certain can be said of this packet, nor of those after it."""
