"""The one error of this package."""

from __future__ import annotations


class MediaError(ValueError):
    """A file that no clip can be read from.

    Its text is one short sentence on what is wrong with the file. It names no path and shows no
    content: the caller knows which clip it asked for.
    """
