"""Keeping the key out of every text: servers repeat it, whole or in part, in what they answer."""

from __future__ import annotations

import functools
import re

_SHORTEST_SECRET = 8  # a shorter "key" is a placeholder for a local server, and matches by chance
_HIDDEN = "[redacted]"


def without_key(text: str, key: str) -> str:
    """Return ``text`` with every whole occurrence of ``key`` removed and all else untouched.

    Also found are its letters in another case and escaped as in an address (``%2d``), in JSON or
    JavaScript (``\\u002d``, ``\\x2d``, ``\\/``) or in HTML (``&#45;``), some of them or all.
    """
    return _whole(key).sub(_HIDDEN, text) if len(key) >= _SHORTEST_SECRET else text


def brief_message(text: str, key: str, limit: int = 200) -> str:
    """Return a server's message on one line, at most ``limit`` characters, without the key.

    Words that could be a masked key (its first or last letters, or asterisks) go as well.
    """
    words = []
    for word in without_key(text, key).split():
        masked = "***" in word or (
            len(key) >= _SHORTEST_SECRET and (key[:6] in word or key[-4:] in word)
        )
        words.append(_HIDDEN if masked else word)
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


@functools.lru_cache(maxsize=8)
def _whole(key: str) -> re.Pattern[str]:
    """Return what finds ``key``, each of its characters plain or escaped."""
    return re.compile("".join(_plain_or_escaped(character) for character in key), re.IGNORECASE)


def _plain_or_escaped(character: str) -> str:
    # A text that was escaped more than once has so many more backslashes, %25 and &amp;. There is a
    # most of each: without one, a text of backslashes alone would take quadratic time.
    code = ord(character)
    return (
        rf"(?:\\{{0,7}}{re.escape(character)}|\\{{1,7}}(?:u00|x){code:02x}|%(?:25){{0,3}}{code:02x}"
        rf"|&(?:amp;){{0,3}}#(?:0{{0,3}}{code}|x0{{0,3}}{code:x});)"
    )
